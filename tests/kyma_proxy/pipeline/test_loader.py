"""Finding plugins: only what is a plugin, and only when it is asked for."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kyma_proxy.pipeline.loader import GROUP, InstalledPlugins, PluginLoadError

GOOD = """
from kyma_proxy.api import Endpoint, Plugin, PluginConfig, Reply
class Base(Plugin[PluginConfig]):
    name = "third"
    config_model = PluginConfig
    endpoints = (Endpoint("/v1/audio/third", frozenset({"GET"})),)
class Third(Base):
    async def handle(self, flow, proceed):
        return Reply(200)
class Renamed(Third):
    name = "another"
class NoConfig(Third):
    config_model = dict
class NoEndpoints(Third):
    endpoints = ["/v1/audio/third"]
class Outside(Third):
    endpoints = (Endpoint("/v1/chat/x", frozenset({"GET"})),)
class Crooked(Third):
    endpoints = (Endpoint("/v1/audio/third/", frozenset({"GET"})),)
class NoMethods(Third):
    endpoints = (Endpoint("/v1/audio/third", frozenset()),)
not_a_class = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "third_party_module.py").write_text(GOOD)
    (tmp_path / "broken_module.py").write_text("raise OSError('no licence')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("third_party_module", "broken_module"):
        sys.modules.pop(name, None)


def installed(value: str) -> InstalledPlugins:
    return InstalledPlugins({"third": EntryPoint("third", value, GROUP)})


def test_a_plugin_is_loaded_when_it_is_asked_for_and_not_before() -> None:
    plugins = installed("third_party_module:Third")
    assert list(plugins) == ["third"]
    assert "third_party_module" not in sys.modules
    assert plugins["third"].name == "third"


def test_a_plugin_that_is_not_installed_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        installed("third_party_module:Third")["fourth"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("broken_module:X", "no licence"),
        ("no_such_module:X", "cannot be imported"),
        ("third_party_module:Missing", "cannot be imported"),
        ("third_party_module:not_a_class", "not a subclass"),
        ("third_party_module:Base", "does not implement handle"),
        ("third_party_module:Renamed", "same name"),
        ("third_party_module:NoConfig", "config_model"),
        ("third_party_module:NoEndpoints", "endpoints"),
        ("third_party_module:Outside", "not a canonical path"),
        ("third_party_module:Crooked", "not a canonical path"),
        ("third_party_module:NoMethods", "serves no method"),
    ],
)
def test_what_is_not_a_plugin_is_refused_with_the_reason(value: str, why: str) -> None:
    with pytest.raises(PluginLoadError, match=why):
        installed(value)["third"]


def test_the_shipped_plugins_are_plugins() -> None:
    plugins = InstalledPlugins()
    assert {"api_key_auth", "voice_clone"} <= set(plugins)
    assert all(plugins[name].name == name for name in plugins)
