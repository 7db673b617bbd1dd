"""Rules between settings that are each well formed: names that must exist, routes that must be able to match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from typing import get_args

from pydantic import BaseModel

from kyma_proxy.plugin import UpstreamReference
from kyma_proxy.settings.models import CAPABILITIES, RouteSettings, ServerSettings
from kyma_proxy.settings.problems import quoted
from kyma_proxy.settings.source import KeyPath
from kyma_proxy.settings.validation import Report

# What the gateway's C parser (llhttp) knows, less what the edge itself answers: CONNECT and TRACE.
# fmt: off
METHODS = frozenset({
    "ACL", "BIND", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT",
    "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
})
# fmt: on
_ROUTE_PATH = re.compile(r"/v1/audio(/[A-Za-z0-9._~-]+)*(/[A-Za-z0-9._~-]+|/\*\*)")
_MODEL_PATTERN = re.compile(r"[^\s?\[\]]+")


def check_server(server: ServerSettings, report: Report) -> None:
    """Two listeners that can both be opened."""
    if server.listen.overlaps(server.admin_listen):
        where: KeyPath = ("server", "admin_listen")
        if where not in report.document.source.values:
            where = ("server", "listen")
        report.add(where, "listen and admin_listen must differ: the admin listener is not for clients")


def check_upstream_name(path: KeyPath, name: str, adapters: Mapping[str, str | None], report: Report) -> None:
    """The upstream must be in the file; `adapters` maps each name there to its adapter (None: not a known one)."""
    if name not in adapters:
        report.unknown(path, "upstream", name, list(adapters))


def check_references(config: BaseModel, path: KeyPath, adapters: Mapping[str, str | None], report: Report) -> None:
    """Every field of a plugin's config that names an upstream names one that can do what the plugin asks of it."""
    for where, name, reference in _references(config, path):
        check_upstream_name(where, name, adapters, report)
        adapter = adapters.get(name)
        if adapter is None or reference.capability is None or reference.capability in CAPABILITIES[adapter]:
            continue
        able = sorted(kind for kind, offered in CAPABILITIES.items() if reference.capability in offered)
        report.add(
            where,
            f"needs an upstream that offers {quoted(reference.capability)}; this one's adapter is {adapter}, "
            f"which does not (adapters that do: {', '.join(able) or 'none'})",
        )


def check_route(path: KeyPath, route: RouteSettings, report: Report) -> bool:
    """Whether the route is one that requests can match: path, methods and models are of the allowed forms."""
    good = True
    segments = route.path.split("/")
    if not _ROUTE_PATH.fullmatch(route.path) or "." in segments or ".." in segments:
        message = "must be a plain path under /v1/audio/, without a trailing slash, or end in /** for all below it"
        report.add((*path, "path"), message)
        good = False
    for key, entries in (("methods", route.methods), ("models", route.models)):
        if entries == ():
            report.add((*path, key), f"an empty list matches nothing: leave {key} out to match all")
            good = False
    for index, method in enumerate(route.methods or ()):
        if method not in METHODS:
            report.unknown((*path, "methods", index), "method", method, sorted(METHODS))
            good = False
    for index, model in enumerate(route.models or ()):
        if not _MODEL_PATTERN.fullmatch(model):
            report.add((*path, "models", index), "must be a model's name, in which * stands for any text")
            good = False
    return good


def check_reachable(routes: Mapping[int, RouteSettings], report: Report) -> None:
    """Refuse a route all of whose requests are taken by earlier ones; `routes` are the well-formed ones by index."""
    for index, route in routes.items():
        requests = list(product(route.methods or (None,), route.models or (None,)))
        takers = [
            next(number for number, other in routes.items() if number == index or _takes(other, route.path, *request))
            for request in requests
        ]
        if index not in takers:
            lines = sorted({report.document.source.problem(("routes", number), "").line for number in takers})
            where = " and ".join(f"line {line}" for line in lines)
            report.add(("routes", index), f"this route can never match: all its requests are taken by {where}")


def _takes(route: RouteSettings, path: str, method: str | None, model: str | None) -> bool:
    """Whether a route takes every request of a path pattern, method and model pattern (None: any)."""
    return (
        (path == route.path or (route.path.endswith("/**") and path.startswith(route.path[:-2])))
        and (route.methods is None or method in route.methods)
        and (route.models is None or (model is not None and any(fnmatchcase(model, wide) for wide in route.models)))
    )


def _references(config: BaseModel, path: KeyPath) -> Iterator[tuple[KeyPath, str, UpstreamReference]]:
    for name, field in type(config).model_fields.items():
        marks = (*_marks_in(field.annotation), *(mark for mark in field.metadata if _is_mark(mark)))
        yield from _referring(getattr(config, name), marks, (*path, field.alias or name))


def _referring(
    value: object, marks: tuple[UpstreamReference, ...], path: KeyPath
) -> Iterator[tuple[KeyPath, str, UpstreamReference]]:
    if isinstance(value, BaseModel):
        yield from _references(value, path)
    elif isinstance(value, str):
        for mark in marks:
            yield path, value, mark
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _referring(item, marks, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _referring(item, marks, (*path, index))


def _marks_in(annotation: object) -> tuple[UpstreamReference, ...]:
    """The marks anywhere inside an annotation, such as `VoiceProviderName | None`."""
    own = tuple(mark for mark in getattr(annotation, "__metadata__", ()) if _is_mark(mark))
    return own + tuple(mark for part in get_args(annotation) for mark in _marks_in(part))


def _is_mark(value: object) -> bool:
    return isinstance(value, UpstreamReference)
