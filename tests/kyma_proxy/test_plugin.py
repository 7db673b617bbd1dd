"""The base class of plugins."""

import pytest
from pydantic import ValidationError

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.plugin import NoBody, Plugin, PluginConfig, Proceed


class _Config(PluginConfig):
    limit: int = 3


class _Plain(Plugin[_Config]):
    name = "plain"
    config_model = _Config
    endpoints = ()

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return await proceed(flow)


def test_a_plugin_reads_no_body_and_explains_nothing_unless_it_says_so() -> None:
    assert _Plain.body_use(_Config()) == NoBody()
    assert _Plain.explain(_Config()) == {}


@pytest.mark.parametrize("fields", [{"limti": 3}, {"limit": "3"}, {"limit": 3.5}])
def test_config_is_strict(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _Config.model_validate(fields)


def test_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        _Config().limit = 4  # type: ignore[misc]
