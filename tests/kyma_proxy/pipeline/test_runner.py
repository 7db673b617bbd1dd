"""Starting and stopping plugins."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.pipeline.runner import PluginRunner, check_plan
from kyma_proxy.plugin import Endpoint, Plugin, PluginConfig, Proceed
from kyma_proxy.settings import ConfigError, load_settings
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.testing.services import make_services

story: list[str] = []
FAILING = make_services()


class _Told(Plugin[PluginConfig]):
    config_model = PluginConfig

    async def start(self) -> None:
        story.append(f"{self.name} start")

    async def stop(self) -> None:
        story.append(f"{self.name} stop")

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return Reply(200)


class First(_Told):
    name = "first"
    endpoints = (Endpoint("/v1/audio/first", frozenset({"GET"})),)


class Second(_Told):
    name = "second"
    endpoints = (Endpoint("/v1/audio/second", frozenset({"GET"})),)

    async def start(self) -> None:
        await super().start()
        if self.services is FAILING:
            raise OSError("cannot start")

    async def stop(self) -> None:
        await super().stop()
        raise OSError("cannot stop")


class Needy(_Told):
    name = "needy"
    endpoints = (Endpoint("/v1/audio/needy", frozenset({"GET"})),)
    needs = frozenset({"identity"})


REGISTRY: dict[str, type[Plugin[Any]]] = {"first": First, "second": Second, "needy": Needy}
CONFIG = """
version: 1
server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}
upstreams:
  origin: {adapter: forward, base_url: "http://127.0.0.1:9"}
plugins: [%s]
routes:
  - {path: "/v1/audio/**", upstream: origin}
"""


@pytest.fixture(autouse=True)
def forget() -> None:
    story.clear()


def settings(tmp_path: Path, *names: str) -> Any:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG % ", ".join(f"{{use: {name}}}" for name in names))
    return load_settings(path, plugins=REGISTRY, environ={})


async def test_plugins_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    runner = PluginRunner()
    snapshot = await runner.start(
        settings(tmp_path, "first", "second"), REGISTRY, make_services(), MappingProxyType({})
    )
    assert set(snapshot.guards) == {"/v1/audio/first", "/v1/audio/second"}
    assert (await snapshot.guards["/v1/audio/first"].chains["GET"](make_flow())).status == 200
    await runner.stop()
    assert story == ["first start", "second start", "second stop", "first stop"]


async def test_a_start_that_fails_half_way_is_released_with_all_before_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot start"):
        await PluginRunner().start(settings(tmp_path, "first", "second"), REGISTRY, FAILING, {})
    assert story == ["first start", "second start", "second stop", "first stop"]


async def test_an_order_that_breaks_a_need_is_refused_with_its_position(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_plan(settings(tmp_path, "first", "needy"), REGISTRY)
    (problem,) = caught.value.problems
    assert "needs 'identity'" in problem.message
    assert (problem.line, problem.column) == (6, 31)
