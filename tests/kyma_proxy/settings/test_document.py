from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.settings.document import DEPTH_MAX, FILE_BYTES_MAX, parse_document, read_document
from kyma_proxy.settings.problems import ConfigError


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "f", {})
    (problem,) = caught.value.problems
    return str(problem)


def error_of(text: str) -> ConfigError | None:
    try:
        parse_document(text, "f", {})
    except ConfigError as error:
        return error
    return None


def findings(text: str, environ: dict[str, str] | None = None) -> list[str]:
    return [str(problem) for _, problem in parse_document(text, "f", environ or {}).findings]


def test_values_and_their_positions() -> None:
    document = parse_document("a:\n  - {b: 1, c: 'x'}\n  - true\n", "f", {})
    assert document.value == {"a": [{"b": 1, "c": "x"}, True]}
    assert document.source.values[("a", 0, "c")] == (2, 15)
    assert document.source.keys[("a", 0, "c")] == (2, 12)
    assert document.source.values[("a", 1)] == (3, 5)


def test_quotes_keep_text_and_plain_references_take_their_type() -> None:
    document = parse_document("a: ${N}\nb: '${N}'\nc: ${E}\nd: ${N}x\n", "f", {"N": "2", "E": ""})
    assert document.value == {"a": 2, "b": "2", "c": "", "d": "2x"}
    assert document.source.from_environment == {("a",), ("b",), ("c",), ("d",)}
    assert document.plain_texts == {("a",): "2"}


@given(st.text())
def test_what_stands_in_a_variable_never_changes_the_structure(text: str) -> None:
    document = parse_document('a: ${V}\nb: "${V}"\nc:\n  - x${V}\n  - 1\n', "f", {"V": text})
    value = document.value
    assert isinstance(value, dict)
    assert list(value) == ["a", "b", "c"]
    assert not isinstance(value["a"], dict | list)
    assert document.broken or (value["b"] == text and value["c"] == ["x" + text, 1])


def test_duplicate_keys_are_found_with_the_first_line() -> None:
    assert findings("a: 1\nb: 2\na: 3\n") == ['f:3:1: duplicate key "a": it stands in line 1 already']
    assert findings("a: {b: 1, 'b': 2}\n") == ['f:1:11: duplicate key "b": it stands in line 1 already']


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a {x: 1}\nb:\n  <<: *a\n", "f:3:3: merge keys (<<) are not supported: write the keys out"),
        ("a: !!python/object:os.system x\n", "f:1:4: tags are not supported"),
        ("a: !!str 5\n", "f:1:4: tags are not supported"),
        ("a: !custom [1]\n", "f:1:4: tags are not supported"),
        ("!k a: 1\n", "f:1:1: tags are not supported"),
        ("1: a\n", "f:1:1: a key must be text"),
        ("null: a\n", "f:1:1: a key must be text"),
        ("[a]: a\n", "f:1:1: a key must be text"),
        ("? {a: 1}\n: b\n", "f:1:3: a key must be text"),
        ("a: ${UNSET}\n", "f:1:4: the environment variable UNSET is not set"),
        ('a: "\\ud800"\n', "f:1:4: is not text in Unicode"),
        ('"\\ud800": a\n', "f:1:1: half a surrogate pair"),
    ],
)
def test_what_only_yaml_can_say_is_refused_where_it_stands(text: str, problem: str) -> None:
    found = findings(text)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_value_that_cannot_be_made_is_marked_broken() -> None:
    document = parse_document("a: ${UNSET}\nb: 1\n", "f", {})
    assert document.value == {"a": None, "b": 1}
    assert document.broken == {("a",)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\n", "f:2:1: not valid YAML"),
        ("a: [${V}]\n", "f:1:6: not valid YAML: expected ',' or ']', but got '{'; inside [ ] and { } a reference"),
        ("a:\n\tb: 1\n", "f:2:1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "f:2:1: not valid YAML"),
        ("a: *nowhere\n", "f:1:4: not valid YAML: found undefined alias"),
        ("a: 1\nb: \x07\n", "f:2:4: not valid YAML: a control character"),
        ('a: "\\UFFFFFFFF"\n', "f:1:"),
        ("%YAML 99999999999999999999.1\n---\na: 1\n", "f:"),
        ("a: &a [*a]\n", "f:1:8: not valid YAML: an alias refers to what it stands in"),
        ("a: &a {b: [1, *a]}\n", "f:1:15: not valid YAML: an alias refers to what it stands in"),
        ("[" * 5000, f"f:1:{DEPTH_MAX + 1}: not valid YAML: nested deeper than {DEPTH_MAX} levels"),
        ("[" * 500 + "]" * 500, f"f:1:{DEPTH_MAX + 1}: not valid YAML: nested deeper than {DEPTH_MAX} levels"),
        (
            "\n".join(" " * level + "a:" for level in range(200)),
            f"f:{DEPTH_MAX}:{DEPTH_MAX}: not valid YAML: nested",
        ),
        ("- 1\n" * 10_001, "f:10000:3: not valid YAML: more than 10000 values"),
    ],
)
def test_what_is_not_one_bounded_document_is_refused_whole(text: str, problem: str) -> None:
    assert refusal(text).startswith(problem)


def test_an_alias_bomb_is_refused_where_it_passes_the_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert refusal("\n".join(lines)).startswith("f:5:")


def test_aliases_within_bounds_are_values_of_their_own() -> None:
    document = parse_document("a: &x [1, 2]\nb: *x\n", "f", {})
    assert document.value == {"a": [1, 2], "b": [1, 2]}


def test_aliases_cannot_nest_past_the_depth() -> None:
    deep = 40
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} {'[' * deep}*a{n - 1}{']' * deep}" for n in range(1, 15)]
    found = findings("\n".join(lines))
    assert found
    assert all(f"nested deeper than {DEPTH_MAX} levels" in problem for problem in found)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#,?\n\t ~<$\\0\u0085\ufeff"), max_size=60))
def test_any_text_gives_a_document_or_config_error(text: str) -> None:
    refused = error_of(text)
    for problem in refused.problems if refused is not None else ():
        assert problem.line >= 1
        assert problem.column >= 1
        assert "\n" not in str(problem)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    document = read_document(file, {})
    assert document.value == {"a": 1}
    assert document.source.keys[("a",)] == (1, 1)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xe9\n")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    for path, words in [
        (tmp_path / "missing.yaml", os.strerror(2)),
        (tmp_path, os.strerror(21)),
        (latin, "not UTF-8"),
        (huge, "larger than"),
        (Path("a\0b"), "cannot be read"),
    ]:
        with pytest.raises(ConfigError) as caught:
            read_document(path, {})
        (problem,) = caught.value.problems
        assert (problem.file, problem.line, problem.column) == (str(path), 1, 1)
        assert words in problem.message


def test_values_stay_out_of_repr() -> None:
    assert "s3cret" not in repr(parse_document("a: ${A}\nb: ${B}\n", "f", {"A": "s3cret", "B": "123456"}))
    assert "123456" not in repr(parse_document("b: ${B}\n", "f", {"B": "123456"}))
