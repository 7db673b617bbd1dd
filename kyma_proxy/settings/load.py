"""From a file to settings: read, validate section by section, check the rules between them, report everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from kyma_proxy.plugin import Plugin, PluginConfig
from kyma_proxy.settings.checks import (
    check_reachable,
    check_references,
    check_route,
    check_server,
    check_upstream_name,
)
from kyma_proxy.settings.document import Document, read_document
from kyma_proxy.settings.environment import environment
from kyma_proxy.settings.models import (
    ADAPTERS,
    DatabaseSettings,
    Model,
    PluginEntry,
    RouteSettings,
    ServerSettings,
    Settings,
    UpstreamSettings,
)
from kyma_proxy.settings.problems import unknown
from kyma_proxy.settings.source import KeyPath
from kyma_proxy.settings.validation import Report, validate

SectionT = TypeVar("SectionT", bound=Model)
PluginTypes = Mapping[str, type[Plugin[Any]]]

_SECTIONS = ("version", "server", "database", "upstreams", "plugins", "routes")
_UPSTREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def load_settings(path: Path, *, plugins: PluginTypes, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the file at `path`, with references read from `environ` (the process's own when None).

    `plugins` are the installed plugin classes by name; listed ones are checked against their config models.
    Raises ConfigError with every problem of every section, in the order of the file. Opens no connection.
    """
    document = read_document(path, environment() if environ is None else environ)
    report = Report(document)
    root = _root(document, report)
    server = _section(ServerSettings, "server", root, report)
    if server is not None:
        check_server(server, report)
    database = _section(DatabaseSettings, "database", root, report)
    upstreams = _upstreams(root, report)
    adapters = _adapters(root)
    entries = _plugins(root, plugins, adapters, report)
    if len(upstreams) == len(adapters) and len(entries) == len(root.get("plugins") or ()):  # type: ignore[arg-type]
        _check_against_models(entries, upstreams, report)
    routes = _routes(root, adapters, report)
    report.raise_if_any()
    if server is None or database is None:
        raise AssertionError("a section is missing and no problem says why")
    return Settings(
        server=server,
        database=database,
        upstreams=upstreams,
        plugins=entries,
        routes=routes,
        source=document.source,
    )


def load_database_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> DatabaseSettings:
    """The `database` section alone: variables that only other sections need may be unset.

    Raises ConfigError for a file that is not one YAML mapping, and for every problem of that section.
    """
    root, report = _read_section("database", path, environ)
    database = _section(DatabaseSettings, "database", root, report)
    report.raise_if_any()
    if database is None:
        raise AssertionError("the section is missing and no problem says why")
    return database


def load_server_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> ServerSettings:
    """The `server` section alone: variables that only other sections need may be unset.

    Raises ConfigError for a file that is not one YAML mapping, and for every problem of that section.
    """
    root, report = _read_section("server", path, environ)
    server = _section(ServerSettings, "server", root, report)
    report.raise_if_any()
    if server is None:
        raise AssertionError("the section is missing and no problem says why")
    return server


def load_plugin_entries(
    path: Path, *, plugins: PluginTypes, environ: Mapping[str, str] | None = None
) -> tuple[PluginEntry, ...]:
    """The `plugins` section alone: variables that only other sections need may be unset.

    Raises ConfigError for a file that is not one YAML mapping, and for every problem of that section.
    """
    root, report = _read_section("plugins", path, environ)
    entries = _plugins(root, plugins, _adapters(root), report)
    report.raise_if_any()
    return entries


def _read_section(name: str, path: Path, environ: Mapping[str, str] | None) -> tuple[Mapping[str, object], Report]:
    """The file, and a report that is told of nothing outside one of its sections."""
    document = read_document(path, environment() if environ is None else environ)
    wanted = ((), (name,))
    findings = tuple((where, problem) for where, problem in document.findings if where[:1] in wanted)
    broken = frozenset(where for where in document.broken if where[:1] in wanted)
    report = Report(Document(document.value, document.source, findings, broken, document.plain_texts))
    if not isinstance(document.value, dict):
        report.add((), "must be a mapping that starts with version: 1")
        return {}, report
    return document.value, report


def _root(document: Document, report: Report) -> Mapping[str, object]:
    root = document.value
    if not isinstance(root, dict):
        report.add((), "must be a mapping that starts with version: 1")
        return {}
    for key in root:
        if key not in _SECTIONS:
            report.add((key,), unknown("key", key, _SECTIONS), at="key")
    if "version" not in root:
        report.add((), 'missing key "version": write version: 1')
    elif type(root["version"]) is not int or root["version"] != 1:
        report.add(("version",), "must be 1: this gateway reads no other version of the format")
    return root


def _section(model: type[SectionT], name: str, root: Mapping[str, object], report: Report) -> SectionT | None:
    """A section as its model; one that is absent or left empty has its defaults."""
    value = root.get(name)
    return validate(model, (name,), {} if value is None else value, report)


def _mapping(value: object, path: KeyPath, report: Report) -> Mapping[str, object]:
    if value is not None and not isinstance(value, dict):
        report.add(path, "must be a mapping")
    return value if isinstance(value, dict) else {}


def _entries(value: object, path: KeyPath, report: Report) -> list[object]:
    if value is not None and not isinstance(value, list):
        report.add(path, "must be a list")
    return value if isinstance(value, list) else []


def _text(mapping: Mapping[str, object], key: str, path: KeyPath, report: Report) -> str | None:
    """The text of a key that must be there."""
    value = mapping.get(key)
    if isinstance(value, str):
        return value
    if key in mapping:
        report.add((*path, key), "must be text")
    else:
        report.add(path, f'missing key "{key}"', at="key")
    return None


def _adapters(root: Mapping[str, object]) -> dict[str, str | None]:
    """The adapter of each upstream in the file, faulty ones included: a reference to those is not wrong too."""
    section = root.get("upstreams")
    adapters: dict[str, str | None] = {}
    for name, body in section.items() if isinstance(section, dict) else ():
        adapter = body.get("adapter") if isinstance(body, dict) else None
        adapters[name] = adapter if isinstance(adapter, str) and adapter in ADAPTERS else None
    return adapters


def _upstreams(root: Mapping[str, object], report: Report) -> dict[str, UpstreamSettings]:
    upstreams: dict[str, UpstreamSettings] = {}
    for name, value in _mapping(root.get("upstreams"), ("upstreams",), report).items():
        path = ("upstreams", name)
        if not _UPSTREAM_NAME.fullmatch(name):
            report.add(path, "a name is 1 to 64 letters, digits, and _ . - after the first", at="key")
        if not isinstance(value, dict):
            report.add(path, "must be a mapping")
            continue
        adapter = _text(value, "adapter", path, report)
        if adapter is None:
            continue
        if adapter not in ADAPTERS:
            report.unknown((*path, "adapter"), "adapter", adapter, list(ADAPTERS))
            continue
        settings = validate(ADAPTERS[adapter], path, value, report)
        if settings is not None:
            upstreams[name] = settings
    return upstreams


def _plugins(
    root: Mapping[str, object], plugins: PluginTypes, adapters: Mapping[str, str | None], report: Report
) -> tuple[PluginEntry, ...]:
    entries: list[PluginEntry] = []
    lines: dict[str, int] = {}
    for index, value in enumerate(_entries(root.get("plugins"), ("plugins",), report)):
        path = ("plugins", index)
        if not isinstance(value, dict):
            report.add(path, "must be a mapping with the key use")
            continue
        for key in value:
            if key not in ("use", "config"):
                report.add((*path, key), unknown("key", key, ("use", "config")), at="key")
        name = _text(value, "use", path, report)
        if name is None:
            continue
        if name not in plugins:
            report.unknown((*path, "use"), "plugin", name, list(plugins))
            continue
        if name in lines:
            message = f"used twice: it stands in line {lines[name]} already, and a request meets a plugin once"
            report.add((*path, "use"), message)
        lines.setdefault(name, report.document.source.problem((*path, "use"), "").line)
        config = _plugin_config(plugins[name].config_model, value.get("config"), (*path, "config"), report)
        if config is not None:
            check_references(config, (*path, "config"), adapters, report)
            entries.append(PluginEntry(use=name, config=config))
    return tuple(entries)


def _check_against_models(
    entries: tuple[PluginEntry, ...], upstreams: Mapping[str, UpstreamSettings], report: Report
) -> None:
    """What the plugins say of themselves, given the models that upstreams serve."""
    skus = frozenset(sku for upstream in upstreams.values() for sku in getattr(upstream, "models", ()))
    for index, entry in enumerate(entries):
        for problem in entry.config.problems(skus):
            report.add(("plugins", index, "config", *problem.path), problem.message)


def _plugin_config(model: type[PluginConfig], value: object, path: KeyPath, report: Report) -> PluginConfig | None:
    return validate(model, path, {} if value is None else value, report, own_words=False)


def _routes(
    root: Mapping[str, object], adapters: Mapping[str, str | None], report: Report
) -> tuple[RouteSettings, ...]:
    routes: list[RouteSettings] = []
    well_formed: dict[int, RouteSettings] = {}
    for index, value in enumerate(_entries(root.get("routes"), ("routes",), report)):
        path = ("routes", index)
        route = validate(RouteSettings, path, value, report)
        if route is None:
            continue
        routes.append(route)
        if check_route(path, route, report):
            well_formed[index] = route
        check_upstream_name((*path, "upstream"), route.upstream, adapters, report)
    check_reachable(well_formed, report)
    return tuple(routes)
