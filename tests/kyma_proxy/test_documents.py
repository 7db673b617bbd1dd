"""One strict reading of JSON."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.documents import DEPTH_MAX, DOCUMENT_VALUES_MAX, parse_document
from kyma_proxy.errors import ErrorCode, GatewayError

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcdefgh"), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from("abcdefgh"), values), st.booleans())
def test_what_json_writes_is_read_as_it_was(document: dict[str, Any], ascii_only: bool) -> None:
    assert parse_document(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary())
def test_any_bytes_are_an_object_or_refused(content: bytes) -> None:
    with contextlib.suppress(GatewayError):
        assert isinstance(parse_document(content), dict)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"1" + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"voice"',
        b"1",
        b"{",
        b"{}{}",
        b'{"a":1} x',
        b'{"a":1}\0',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":[{"b":1,"b":2}]}',
        b'{"voice":1,"Voice":2}',
        '{"k":1,"\u212a":2}'.encode(),
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"9" * 309 + b"}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":1.}',
        b'{"a":0x10}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\\x61"}',
        b'{"a":"x\ny"}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1/**/}',
        b'{"a":True}',
        b"{a:1}",
        b"\x0b{}",
        "\u00a0{}".encode(),
        nested(DEPTH_MAX + 1),
        nested(100_000),
        b'{"a":[' + b"1," * DOCUMENT_VALUES_MAX + b"1]}",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(content: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_document(content)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("content", "document"),
    [
        (b"{}", {}),
        (b' \r\n\t{"a" : 1.5e3 } \n', {"a": 1500.0}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":"' + b"[,{" * DOCUMENT_VALUES_MAX + b'"}', {"a": "[,{" * DOCUMENT_VALUES_MAX}),
        (b'{"a":"\\"' + b"," * 2 * DOCUMENT_VALUES_MAX + b'"}', {"a": '"' + "," * 2 * DOCUMENT_VALUES_MAX}),
        (b'{"a":' + b"9" * 308 + b"}", {"a": int("9" * 308)}),
        (b'{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}),
    ],
)
def test_what_has_one_reading_is_read(content: bytes, document: dict[str, Any]) -> None:
    assert parse_document(content) == document


def test_the_depth_allowed_is_allowed() -> None:
    assert parse_document(nested(DEPTH_MAX))
