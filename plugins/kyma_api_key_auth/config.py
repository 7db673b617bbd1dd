"""Config of `api_key_auth`."""

from kyma_proxy.api import PluginConfig


class ApiKeyAuthConfig(PluginConfig):
    """Nothing to set: keys are made, listed and revoked with `kyma-proxy keys`."""
