"""Public classes and functions say what a caller may rely on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tidy.tree import Modules, dotted

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_SPEAK_FOR_THEMSELVES = {"overload", "setter", "deleter"}


def undocumented(modules: Modules) -> list[str]:
    """Findings for public classes, functions and methods without a docstring.

    A method inherits the docstring of the method it overrides, as `inspect.getdoc` has it, when its base class is
    one of ours.
    """
    classes = {
        node.name: node for tree in modules.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }
    return [
        f"{path}:{node.lineno}: {node.name} has no docstring: say what a caller may rely on"
        for path, tree in modules.items()
        for owner, node in _public(tree.body, None)
        if not ast.get_docstring(node) and not _is_spoken_for(owner, node, classes)
    ]


def _public(body: list[ast.stmt], owner: ast.ClassDef | None) -> Iterator[tuple[ast.ClassDef | None, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield owner, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, node)
        elif isinstance(node, ast.If | ast.Try):
            yield from _public([*node.body, *node.orelse], owner)


def _is_spoken_for(owner: ast.ClassDef | None, node: Definition, classes: dict[str, ast.ClassDef]) -> bool:
    marks = {dotted(mark).split(".")[-1] for mark in node.decorator_list}
    if marks & _SPEAK_FOR_THEMSELVES:
        return True
    return owner is not None and _base_documents(owner, node.name, classes, frozenset())


def _base_documents(owner: ast.ClassDef, name: str, classes: dict[str, ast.ClassDef], seen: frozenset[str]) -> bool:
    for base in owner.bases:
        base_name = dotted(base.value if isinstance(base, ast.Subscript) else base).split(".")[-1]
        parent = classes.get(base_name)
        if parent is None or base_name in seen:
            continue
        if any(isinstance(it, Definition) and it.name == name and ast.get_docstring(it) for it in parent.body):
            return True
        if _base_documents(parent, name, classes, seen | {base_name}):
            return True
    return False
