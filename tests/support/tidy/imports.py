"""Who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from tidy.tree import Modules, dotted, plugin_of

_KIT = "kyma_proxy.api"
_TEST_KIT = "kyma_proxy.testing"
_BOOKS = ("kyma_proxy/ledger/", "kyma_proxy/voices/")
_EDGE = ("kyma_proxy.server", "kyma_proxy.upstreams")


def forbidden_imports(modules: Modules) -> list[str]:
    """Findings for imports that cross a wall.

    A plugin imports `kyma_proxy.api` and itself, its tests `kyma_proxy.testing` too; the core imports no plugin;
    `ledger/` and `voices/` know neither the server nor the upstreams.
    """
    findings = []
    for path, tree in modules.items():
        for line, target in imported(path, tree):
            if advice := _objection(path, target):
                findings.append(f"{path}:{line}: imports {target}: {advice}")
    return findings


def imported(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports; `from a import b` gives `a.b`, relative ones resolved.

    Names given as text to `import_module` or `__import__` count too.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [_package(path, node.level), node.module]))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield from ((node.lineno, text) for text in map(_text, node.args[:1]) if text)


def _objection(path: str, target: str) -> str | None:
    plugin = plugin_of(path)
    if plugin is not None:
        return _objection_to_plugin(plugin, target, in_tests=path.startswith("tests/"))
    if not path.startswith("kyma_proxy/"):
        return None
    room = target.split(".", maxsplit=1)[0]
    if room == "plugins" or (room.startswith("kyma_") and room != "kyma_proxy"):
        return "the core imports no plugin; it finds them by their entry points"
    if path.startswith(_BOOKS) and _is_within(target, *_EDGE):
        return "the books know neither the server nor the upstreams; take what is needed as a parameter"
    return None


def _objection_to_plugin(plugin: str, target: str, *, in_tests: bool) -> str | None:
    room = target.split(".", maxsplit=1)[0]
    if room == "plugins":
        return f"plugins/ is a source root, not a package; import {plugin} itself"
    if not room.startswith("kyma_") or room == plugin or _is_within(target, _KIT):
        return None
    if in_tests and _is_within(target, _TEST_KIT):
        return None
    kits = f"{_KIT} and {_TEST_KIT}" if in_tests else _KIT
    return f"{'the tests of a plugin import' if in_tests else 'a plugin imports'} only {kits} and {plugin}"


def _is_within(target: str, *rooms: str) -> bool:
    return any(target == room or target.startswith(f"{room}.") for room in rooms)


def _package(path: str, level: int) -> str | None:
    """The package a relative import of `level` dots starts from, None for an absolute one."""
    if level == 0:
        return None
    parts = PurePosixPath(path).parts[: -level if level else None]
    return ".".join(parts[1:] if parts[:1] == ("plugins",) else parts)


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
