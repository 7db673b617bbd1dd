"""The docstring rule can fail."""

from __future__ import annotations

import ast

from tidy.docstrings import undocumented


def _names(text: str) -> list[str]:
    return [finding.split(" ")[1] for finding in undocumented({"a.py": ast.parse(text)})]


def test_public_code_without_docstring_is_found() -> None:
    text = """
def function(): pass
async def coroutine(): pass
class Class:
    def method(self): pass
if True:
    def conditional(): pass
"""
    assert _names(text) == ["function", "coroutine", "Class", "method", "conditional"]


def test_private_code_and_special_methods_pass() -> None:
    text = '''
def _private(): pass
class _Hidden:
    def method(self): pass
class Shown:
    """Said."""
    def __init__(self): pass
    def _inner(self):
        def nested(): pass
'''
    assert _names(text) == []


def test_an_override_inherits_what_its_base_says() -> None:
    text = '''
class Base:
    """Said."""
    def said(self):
        """Said."""
class Middle(Base):
    """Said."""
class Last(Middle[int]):
    """Said."""
    def said(self): pass
    def new(self): pass
'''
    assert _names(text) == ["new"]


def test_a_base_that_is_not_ours_or_says_nothing_does_not_help() -> None:
    text = '''
class Ours(Protocol):
    """Said."""
    def foreign(self): pass
class Loop(Loop):
    """Said."""
    def around(self): pass
'''
    assert _names(text) == ["foreign", "around"]


def test_setters_and_overloads_speak_through_their_main_definition() -> None:
    text = '''
class Class:
    """Said."""
    @property
    def size(self):
        """Said."""
    @size.setter
    def size(self, value): pass
@typing.overload
def either(x: int): ...
'''
    assert _names(text) == []
