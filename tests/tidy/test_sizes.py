"""The budgets of size can fail."""

from __future__ import annotations

import ast

import pytest

from tidy import sizes


def _function(name: str, lines: int) -> str:
    return f"def {name}():\n" + "    pass\n" * (lines - 1)


def test_a_function_over_the_limit_is_found_nested_or_async() -> None:
    method = "class C:\n    async def long(self):\n        def inner(): pass\n" + "        pass\n" * 69
    found = sizes.long_functions({"a.py": ast.parse(method + _function("fits", 70))})
    assert len(found) == 1
    assert found[0].startswith("a.py:2: long has 71 lines")


@pytest.mark.parametrize(("long", "expected"), [(5, 60), (4, 3)])
def test_the_95th_percentile(long: int, expected: int) -> None:
    text = "".join([_function("short", 3)] * 95 + [_function("long", 60)] * long)
    assert sizes.function_lines_p95({"a.py": ast.parse(text)}) == expected


def test_no_functions_have_no_percentile() -> None:
    assert sizes.function_lines_p95({}) == 0


def test_a_file_over_the_limit_is_found() -> None:
    texts = {"a.py": "\n" * 501, "b.py": "\n" * 500, "README.md": "\n" * 900}
    assert [finding.split(" has")[0] for finding in sizes.long_files(texts)] == ["a.py:501: the file"]
    assert len(sizes.long_files(texts, sizes.FILE_LINES_AIM)) == 2


def test_a_plugin_class_file_has_a_smaller_budget() -> None:
    texts = {"plugins/kyma_x/plugin.py": "\n" * 201, "plugins/kyma_x/form.py": "\n" * 201}
    assert [finding.split(":")[0] for finding in sizes.long_files(texts)] == ["plugins/kyma_x/plugin.py"]


def test_a_sixth_positional_parameter_is_found() -> None:
    text = """
def six(a, b, c, d, e, f): pass
def five_and_keywords(a, b, /, c, d, e, *, f, g): pass
class C:
    def five(self, a, b, c, d, e): pass
    @classmethod
    def also_five(cls, a, b, c, d, e): pass
    @staticmethod
    def static_six(a, b, c, d, e, f): pass
"""
    found = sizes.long_parameter_lists({"a.py": ast.parse(text)})
    assert [finding.split(" takes")[0] for finding in found] == ["a.py:2: six", "a.py:9: static_six"]
