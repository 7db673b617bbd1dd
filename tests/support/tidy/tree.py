"""The files of the repository, as the rules see them."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

Modules = Mapping[str, ast.Module]
"""Parsed Python files by their path from the repository's root, with forward slashes."""

ROOT = Path(__file__).resolve().parents[3]
_WALKED_DOT_FOLDERS = {".ci", ".github"}
_PRODUCED_FOLDERS = {"__pycache__", "build", "dist", "node_modules"}


def tracked_files(root: Path = ROOT) -> tuple[str, ...]:
    """Paths of what belongs to the repository: what git tracks or would add, or a walk where there is no git."""
    listed = _listed_by_git(root) if (root / ".git").exists() else None
    return tuple(sorted(path for path in listed or _walked(root) if (root / path).is_file()))


def read_texts(root: Path = ROOT) -> dict[str, str]:
    """Every text file of the repository by its path; binary files are left out."""
    texts = {}
    for path in tracked_files(root):
        data = (root / path).read_bytes()
        if b"\0" not in data:
            texts[path] = data.decode("utf-8", "replace")
    return texts


def parse_modules(texts: Mapping[str, str]) -> dict[str, ast.Module]:
    """The Python files among the texts, parsed; SyntaxError names the file."""
    return {path: ast.parse(text, path) for path, text in texts.items() if path.endswith(".py")}


def product(modules: Modules) -> dict[str, ast.Module]:
    """The modules that ship: the core and the plugins."""
    return {path: tree for path, tree in modules.items() if path.startswith(("kyma_proxy/", "plugins/"))}


def plugin_of(path: str) -> str | None:
    """The plugin package a path under plugins/ (or tests/plugins/) belongs to, None elsewhere."""
    parts = path.removeprefix("tests/").split("/")
    return parts[1] if parts[0] == "plugins" and len(parts) > 2 else None


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names and attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def _listed_by_git(root: Path) -> list[str] | None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return sorted(set(done.stdout.decode().split("\0")) - {""})


def _walked(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if (not name.startswith(".") or name in _WALKED_DOT_FOLDERS)
            and name not in _PRODUCED_FOLDERS
            and not name.endswith(".egg-info")
        ]
        for name in files:
            yield (Path(folder) / name).relative_to(root).as_posix()
