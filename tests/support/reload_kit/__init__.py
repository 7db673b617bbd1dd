"""Configurations of a plugin that says which one it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry
from pydantic import Field

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.generation import Generation, Lasting
from kyma_proxy.observe.plugin_metrics import PluginMetrics
from kyma_proxy.observe.upstreams import UpstreamMetrics
from kyma_proxy.plugin import Endpoint, Plugin, PluginConfig, Proceed
from kyma_proxy.settings import Settings, load_settings
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.minting import MintParts, MintPatience
from kyma_proxy.windows import CallWindows

story: list[str] = []


class VersionConfig(PluginConfig):
    """Which configuration it is, and whether it starts."""

    number: int = Field(description="Its number.")
    starts: bool = Field(default=True, description="Whether it starts.")


class Version(Plugin[VersionConfig]):
    """Answers with the number of its configuration, and tells the story of its life."""

    name = "version"
    config_model = VersionConfig
    endpoints = (Endpoint("/v1/audio/version", frozenset({"GET"})),)

    async def start(self) -> None:
        story.append(f"start {self.config.number}")
        if not self.config.starts:
            raise OSError("the licence\nhas run out")

    async def stop(self) -> None:
        story.append(f"stop {self.config.number}")

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return Reply(200, body=str(self.config.number).encode())


PLUGINS: dict[str, type[Plugin[Any]]] = {"version": Version}


def load(path: Path) -> Settings:
    """The settings of a file."""
    return load_settings(path, plugins=PLUGINS, environ={})


def write(path: Path, number: int, *, starts: bool = True, more: str = "") -> None:
    """Write a configuration of this number."""
    config = f"{{number: {number}, starts: {str(starts).lower()}}}"
    path.write_text(f"version: 1\nplugins:\n  - use: version\n    config: {config}\n{more}")


def generation_of(settings: Settings, tasks: Tasks) -> Generation:
    """A generation without a database: its plugins use none of what would need one."""
    nothing, registry = cast("Any", None), CollectorRegistry()
    parts = MintParts(nothing, tasks, nothing, nothing, nothing)
    metrics = PluginMetrics(registry)
    numbers = UpstreamMetrics(registry)
    lasting = Lasting(
        nothing, nothing, nothing, parts, MintPatience(), metrics, numbers, nothing, nothing, CallWindows()
    )
    return Generation(settings, PLUGINS, lasting)
