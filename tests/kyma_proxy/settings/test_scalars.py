from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.settings.scalars import expand, resolve_plain

ENVIRON = {"NAME": "value", "EMPTY": "", "NESTED": "${NAME}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-other}", "other"),
        ("${UNSET:-}", ""),
        ("${UNSET:-http://h:1/$x}", "http://h:1/$x"),
        ("${NAME:-other}", "value"),
        ("${NESTED}", "${NAME}"),
        ("$${NAME}", "${NAME}"),
        ("pa$$word $NAME $", "pa$$word $NAME $"),
    ],
)
def test_references_are_replaced_once(text: str, expected: str) -> None:
    expansion = expand(text, ENVIRON)
    assert (expansion.text, expansion.problems) == (expected, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${UNSET}", "UNSET is not set"),
        ("${}", "must be ${NAME}"),
        ("${NAME", "must be ${NAME}"),
        ("${1A}", "must be ${NAME}"),
        ("${NAME:=x}", "must be ${NAME}"),
        ("${UNSET:-${NAME}}", "another reference"),
    ],
)
def test_bad_references_are_problems(text: str, words: str) -> None:
    (problem,) = expand(text, ENVIRON).problems
    assert words in problem


def test_every_unset_variable_is_named() -> None:
    assert len(expand("${A}${B}", {}).problems) == 2


def test_only_references_count_as_such() -> None:
    assert expand("${UNSET:-x}", {}).has_reference
    assert not expand("$${NAME} $x", ENVIRON).has_reference


def test_the_text_stays_out_of_repr() -> None:
    assert "value" not in repr(expand("${NAME}", ENVIRON))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-007", -7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("٣", "٣"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_have_the_types_of_the_core_schema(text: str, expected: object) -> None:
    value = resolve_plain(text)
    assert value == expected
    assert type(value) is type(expected)


@given(st.text())
def test_resolving_never_fails_and_numbers_are_finite(text: str) -> None:
    value = resolve_plain(text)
    assert not isinstance(value, float) or math.isfinite(value)


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_expanding_never_fails(text: str, environ: dict[str, str]) -> None:
    expansion = expand(text, environ)
    assert "${" in text or expansion.text == text
