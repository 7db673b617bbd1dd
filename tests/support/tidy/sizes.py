"""Budgets of size: functions, files, parameters."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath

from tidy.tree import Modules, functions, plugin_of

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P95_MAX = 40
FILE_LINES_MAX = 500
FILE_LINES_AIM = 300
PLUGIN_FILE_LINES_MAX = 200
POSITIONAL_PARAMETERS_MAX = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef


def long_functions(modules: Modules, lines_max: int = FUNCTION_LINES_MAX) -> list[str]:
    """Findings for functions of more than `lines_max` lines, docstring included, decorators not."""
    return [
        f"{path}:{function.lineno}: {function.name} has {_lines(function)} lines, at most {lines_max}: "
        "keep the branching here and move the leaves into functions of their own"
        for path, tree in modules.items()
        for function in functions(tree)
        if _lines(function) > lines_max
    ]


def function_lines_p95(modules: Modules) -> int:
    """The length that 95 of 100 functions do not exceed; 0 when there are none."""
    lengths = sorted(_lines(function) for tree in modules.values() for function in functions(tree))
    return lengths[min(len(lengths) - 1, len(lengths) * 95 // 100)] if lengths else 0


def long_files(texts: Mapping[str, str], lines_max: int = FILE_LINES_MAX) -> list[str]:
    """Findings for Python files over `lines_max` lines; a plugin's plugin.py has its own, smaller budget."""
    findings = []
    for path, text in texts.items():
        allowed = min(lines_max, PLUGIN_FILE_LINES_MAX) if _is_plugin_file(path) else lines_max
        if path.endswith(".py") and (lines := len(text.splitlines())) > allowed:
            findings.append(f"{path}:{allowed + 1}: the file has {lines} lines, at most {allowed}: split it by topic")
    return findings


def long_parameter_lists(modules: Modules) -> list[str]:
    """Findings for functions that take more than five positional parameters, `self` and `cls` not counted."""
    findings = []
    for path, tree in modules.items():
        methods = _methods(tree)
        for function in functions(tree):
            count = len(function.args.posonlyargs) + len(function.args.args) - (function in methods)
            if count > POSITIONAL_PARAMETERS_MAX:
                findings.append(
                    f"{path}:{function.lineno}: {function.name} takes {count} positional parameters, at most "
                    f"{POSITIONAL_PARAMETERS_MAX}: take one frozen options object or keyword-only parameters"
                )
    return findings


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _is_plugin_file(path: str) -> bool:
    return plugin_of(path) is not None and PurePosixPath(path).name == "plugin.py"


def _methods(tree: ast.Module) -> set[Function]:
    """Functions whose first parameter Python fills in."""
    return {
        member
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for member in owner.body
        if isinstance(member, Function)
        and not any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in member.decorator_list)
    }
