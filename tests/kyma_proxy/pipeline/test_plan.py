"""Which plugins stand around which endpoint."""

from typing import Any

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.pipeline.plan import plan
from kyma_proxy.plugin import WHEREVER_NEEDED, Endpoint, Plugin, PluginConfig, Proceed, WhereverNeeded

CLONE, SPEECH = "/v1/audio/voice-clone", "/v1/audio/speech"


def plugin(
    plugin_name: str,
    *guards: tuple[str, set[str]],
    needs: set[str] | None = None,
    provides: set[str] | None = None,
    wherever: bool = False,
) -> type[Plugin[Any]]:
    stands: tuple[Endpoint, ...] | WhereverNeeded = (
        WHEREVER_NEEDED if wherever else tuple(Endpoint(path, frozenset(methods)) for path, methods in guards)
    )

    class Made(Plugin[PluginConfig]):
        name = plugin_name
        config_model = PluginConfig
        endpoints = stands

        async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
            return await proceed(flow)

    Made.needs, Made.provides = frozenset(needs or ()), frozenset(provides or ())
    return Made


auth = plugin("auth", wherever=True, provides={"identity"})
clone = plugin("clone", (CLONE, {"POST"}), needs={"identity"})
watch = plugin("watch", (CLONE, {"GET", "POST"}))


def test_yaml_order_is_the_order_of_the_chain() -> None:
    assert plan([auth, watch, clone]).endpoints[CLONE].members["POST"] == (0, 1, 2)


def test_a_provider_joins_only_where_it_is_needed() -> None:
    members = plan([auth, watch, clone]).endpoints[CLONE].members
    assert members["GET"] == (1,)


def test_allow_lists_the_methods_of_all_plugins_of_a_path() -> None:
    assert plan([auth, watch, clone]).endpoints[CLONE].allow == "GET, POST"


def test_a_provider_alone_guards_nothing() -> None:
    assert not plan([auth]).endpoints


def test_a_need_that_nobody_provides_is_named() -> None:
    (unmet,) = plan([clone]).unmet
    assert unmet.position == 0
    assert "needs 'identity'" in unmet.message


def test_a_provider_after_the_plugin_that_needs_it_is_named() -> None:
    (unmet,) = plan([clone, auth]).unmet
    assert "move 'auth' before it" in unmet.message


def test_providers_may_need_providers() -> None:
    tenant = plugin("tenant", wherever=True, provides={"tenant"}, needs={"identity"})
    speech = plugin("speech", (SPEECH, {"POST"}), needs={"tenant"})
    laid_out = plan([auth, tenant, speech])
    assert laid_out.endpoints[SPEECH].members["POST"] == (0, 1, 2)
    assert not laid_out.unmet
