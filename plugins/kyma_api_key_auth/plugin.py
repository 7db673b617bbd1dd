"""The `api_key_auth` plugin: key → account, or 401."""

from __future__ import annotations

from kyma_api_key_auth.config import ApiKeyAuthConfig
from kyma_proxy.api import WHEREVER_NEEDED, ErrorCode, Flow, GatewayError, Plugin, Proceed, Reply


class ApiKeyAuth(Plugin[ApiKeyAuthConfig]):
    """Stands wherever a later plugin needs an identity; on other paths no key is asked for."""

    name = "api_key_auth"
    config_model = ApiKeyAuthConfig
    endpoints = WHEREVER_NEEDED
    provides = frozenset({"identity"})

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Set `flow.identity` from `Authorization: Bearer KEY`, or refuse with 401 `auth_error`.

        While the database cannot be asked a key seen before is good for a while, and any other is 503, never 401: it
        may well be good.
        """
        identity = await self.services.keys.identify(_bearer(flow))
        if identity is None:
            raise _unauthorized("This API key is not valid. Check that it is whole and has not been revoked.")
        flow.identity = identity
        return await proceed(flow)


def _bearer(flow: Flow) -> str:
    values = flow.headers.getall("Authorization", [])
    if not values:
        raise _unauthorized("Send your API key as the header `Authorization: Bearer ky-…`.")
    scheme, _, api_key = values[0].strip().partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer":
        raise _unauthorized("Send exactly one `Authorization` header, of the form `Bearer ky-…`.")
    return api_key.strip()


def _unauthorized(message: str) -> GatewayError:
    return GatewayError(ErrorCode.AUTH_ERROR, message, headers={"WWW-Authenticate": "Bearer"})
