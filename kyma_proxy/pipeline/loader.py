"""Finds installed plugins by their entry points. Installing one activates nothing: only the YAML list does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from kyma_proxy.pipeline.paths import canonical_path
from kyma_proxy.plugin import ANY_SEGMENT, Endpoint, Plugin, PluginConfig, WhereverNeeded

GROUP = "kyma_proxy.plugins"
GUARDABLE_PREFIX = "/v1/audio/"


class PluginLoadError(Exception):
    """A listed plugin cannot be imported, or is not what a plugin must be. The message says which and why."""


class InstalledPlugins(Mapping[str, type[Plugin[Any]]]):
    """Every installed plugin by name; each is imported when it is first asked for, never before.

    Looking one up raises KeyError when it is not installed and PluginLoadError when it is broken.
    """

    def __init__(self, found: Mapping[str, EntryPoint] | None = None) -> None:
        self._found = {each.name: each for each in entry_points(group=GROUP)} if found is None else dict(found)
        self._loaded: dict[str, type[Plugin[Any]]] = {}

    def __getitem__(self, name: str) -> type[Plugin[Any]]:
        if name not in self._loaded:
            self._loaded[name] = _load(self._found[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _load(entry: EntryPoint) -> type[Plugin[Any]]:
    try:
        loaded = entry.load()
    except Exception as error:
        raise PluginLoadError(f"plugin {entry.name!r} cannot be imported from {entry.value}: {error}") from error
    fault = _fault(entry.name, loaded)
    if fault is not None:
        raise PluginLoadError(f"plugin {entry.name!r} ({entry.value}) {fault}")
    plugin: type[Plugin[Any]] = loaded
    return plugin


def _fault(name: str, loaded: object) -> str | None:
    if not (isinstance(loaded, type) and issubclass(loaded, Plugin)):
        return "is not a subclass of kyma_proxy.api.Plugin"
    if inspect.isabstract(loaded):
        return "does not implement handle()"
    if getattr(loaded, "name", None) != name:
        return f"calls itself {getattr(loaded, 'name', None)!r}; its entry point must have the same name"
    model = getattr(loaded, "config_model", None)
    if not (isinstance(model, type) and issubclass(model, PluginConfig)):
        return "has no config_model that is a PluginConfig"
    endpoints = getattr(loaded, "endpoints", None)
    if isinstance(endpoints, WhereverNeeded):
        return None if loaded.provides else "stands wherever it is needed but provides nothing"
    if not isinstance(endpoints, tuple) or not all(isinstance(each, Endpoint) for each in endpoints):
        return "has no endpoints: a tuple of Endpoint, or WHEREVER_NEEDED"
    for endpoint in endpoints:
        if not endpoint.path.startswith(GUARDABLE_PREFIX) or not _is_canonical(endpoint.path):
            return f"guards {endpoint.path!r}, which is not a canonical path under {GUARDABLE_PREFIX}"
        if not endpoint.methods:
            return f"serves no method at {endpoint.path!r}"
    return None


def _is_canonical(path: str) -> bool:
    """Whether a path, or the part of a pattern before its open segment, is in its canonical form."""
    plain = path.removesuffix(f"/{ANY_SEGMENT}")
    return canonical_path(plain) == plain
