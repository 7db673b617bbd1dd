"""What only one place may do: create tasks, read time, read the environment, open client sessions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tidy.imports import imported
from tidy.tree import Modules, dotted

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_CALENDARS = ("localtime", "gmtime", "ctime", "asctime", "strftime")
_TIME_NAMES = {f"time.{name}" for name in (*_CLOCKS, *(f"{clock}_ns" for clock in _CLOCKS), *_CALENDARS)}
_DATE_NAMES = {f"{owner}.{verb}" for owner in ("datetime", "date") for verb in ("now", "utcnow", "today")}


@dataclass(frozen=True, slots=True)
class SinglePlace:
    """One thing done in one place: where, by which names it is seen, and what everyone else does instead.

    A name matches any run of whole words in a dotted expression: `os.environ` matches `os.environ.get`, `create_task`
    matches `loop.create_task`. A `keyword` is the name of an argument of any call.
    """

    home: str
    names: frozenset[str]
    advice: str
    keywords: frozenset[str] = frozenset()


SINGLE_PLACES = (
    SinglePlace(
        "kyma_proxy/tasks.py",
        frozenset({"create_task", "ensure_future", "TaskGroup"}),
        "use kyma_proxy.tasks.Tasks: it names the task and keeps a reference",
    ),
    SinglePlace(
        "kyma_proxy/clock.py",
        frozenset(_TIME_NAMES | _DATE_NAMES),
        "use kyma_proxy.clock: monotonic_seconds or utc_now",
    ),
    SinglePlace(
        "kyma_proxy/settings/environment.py",
        frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb"}),
        "only kyma_proxy.settings reads the environment; take a setting",
        keywords=frozenset({"envvar", "auto_envvar_prefix"}),
    ),
    SinglePlace(
        "kyma_proxy/upstreams/",
        frozenset({"ClientSession", "aiohttp.request", "urllib.request", "http.client"}),
        "only kyma_proxy.upstreams opens client sessions",
    ),
)


def misplaced(modules: Modules, places: tuple[SinglePlace, ...] = SINGLE_PLACES) -> list[str]:
    """Findings for what is done outside its one place."""
    findings = []
    for path, tree in modules.items():
        rules = [place for place in places if not path.startswith(place.home)]
        findings += [f"{path}:{line}: {name}: {advice}" for line, name, advice in _uses(path, tree, rules)]
    return sorted(set(findings))


def _uses(path: str, tree: ast.Module, rules: list[SinglePlace]) -> Iterator[tuple[int, str, str]]:
    named = list(_named(path, tree))
    keywords = [(node.value.lineno, node.arg or "") for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    for rule in rules:
        yield from ((line, name, rule.advice) for line, name in named if _matches(name, rule.names))
        yield from ((line, f"{name}=", rule.advice) for line, name in keywords if name in rule.keywords)


def _named(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every import and every use of an attribute, annotations left out: a type may be named anywhere."""
    aliases = _aliases(tree)
    for line, target in imported(path, tree):
        if not target.endswith(".ClientSession"):
            yield line, target
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            yield node.lineno, _resolved(name, aliases)
        elif isinstance(node, ast.Attribute) and node.attr != "ClientSession":
            yield node.lineno, _resolved(dotted(node) or f"….{node.attr}", aliases)
        elif isinstance(node, ast.ClassDef):
            yield from ((base.lineno, dotted(base)) for base in node.bases)


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What `import os as o` and `from datetime import datetime as d` call by another name."""
    return {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }


def _resolved(name: str, aliases: dict[str, str]) -> str:
    first, _, rest = name.partition(".")
    return ".".join(filter(None, [aliases.get(first, first), rest]))


def _matches(name: str, names: frozenset[str]) -> bool:
    return any(f".{known}." in f".{name}." for known in names)
