"""Which plugins stand around which endpoint, in which order: from classes alone, so `check` can do it offline."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kyma_proxy.plugin import Endpoint, Plugin, WhereverNeeded


@dataclass(frozen=True, slots=True)
class GuardedEndpoint:
    """A guarded path: for each method it serves, the positions (in the YAML list) of its plugins, outermost first."""

    path: str
    members: Mapping[str, tuple[int, ...]]
    shared: bool = False

    @property
    def methods(self) -> Container[str]:
        """The methods that plugins serve here."""
        return self.members

    @property
    def allow(self) -> str:
        """The value of an `Allow` header."""
        return ", ".join(sorted(self.members))


@dataclass(frozen=True, slots=True)
class UnmetNeed:
    """The plugin at `position` needs something that no plugin before it provides on one of its endpoints."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The guarded endpoints by path, and what is wrong with the order, if anything."""

    endpoints: Mapping[str, GuardedEndpoint]
    unmet: tuple[UnmetNeed, ...]


def plan(plugins: Sequence[type[Plugin[Any]]]) -> Plan:
    """Lay out the chains for a list of plugins in YAML order, first is outermost."""
    served: dict[str, set[str]] = {}
    exclusive: set[str] = set()
    for plugin in plugins:
        for endpoint in _own_endpoints(plugin):
            served.setdefault(endpoint.path, set()).update(endpoint.methods)
            if not endpoint.shared:
                exclusive.add(endpoint.path)
    unmet: dict[UnmetNeed, None] = {}
    endpoints = {}
    for path, methods in served.items():
        members = {method: _members(plugins, path, method) for method in sorted(methods)}
        endpoints[path] = GuardedEndpoint(path, MappingProxyType(members), shared=path not in exclusive)
        for positions in members.values():
            unmet.update(dict.fromkeys(_unmet(plugins, positions, path)))
    return Plan(MappingProxyType(endpoints), tuple(unmet))


def _own_endpoints(plugin: type[Plugin[Any]]) -> tuple[Endpoint, ...]:
    return () if isinstance(plugin.endpoints, WhereverNeeded) else plugin.endpoints


def _members(plugins: Sequence[type[Plugin[Any]]], path: str, method: str) -> tuple[int, ...]:
    """Walk from the innermost plugin outwards: what inner ones need decides which providers join."""
    positions: list[int] = []
    needed: set[str] = set()
    for position in reversed(range(len(plugins))):
        plugin = plugins[position]
        if isinstance(plugin.endpoints, WhereverNeeded):
            joins = bool(plugin.provides & needed)
        else:
            joins = any(each.path == path and method in each.methods for each in plugin.endpoints)
        if joins:
            positions.append(position)
            needed = (needed - plugin.provides) | plugin.needs
    return tuple(reversed(positions))


def _unmet(plugins: Sequence[type[Plugin[Any]]], positions: Sequence[int], path: str) -> Sequence[UnmetNeed]:
    provided: set[str] = set()
    unmet = []
    for position in positions:
        plugin = plugins[position]
        for need in sorted(plugin.needs - provided):
            later = [each.name for each in plugins[position + 1 :] if need in each.provides]
            advice = f"move {later[0]!r} before it" if later else "list a plugin before it that does"
            unmet.append(
                UnmetNeed(
                    position,
                    f"plugin {plugin.name!r} needs {need!r} at {path}, which no plugin before it provides; {advice}",
                )
            )
        provided |= plugin.provides
    return unmet
