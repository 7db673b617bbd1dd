"""Codings of the body: what is understood, and how far it is unpacked."""

import gzip
import zlib

import pytest

from kyma_proxy.codings import is_gzip, require_utf_8, unpack
from kyma_proxy.errors import ErrorCode, GatewayError

CONTENT = b'{"voice": "x"}'


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["application/json"],
        ["application/json; charset=utf-8"],
        ['a/b;Charset="UTF-8"'],
        ["text/plain;charset=utf8"],
    ],
)
def test_utf_8_or_no_charset_is_fine(values: list[str]) -> None:
    require_utf_8(values)


@pytest.mark.parametrize(
    "values",
    [
        ["application/json; charset=utf-16"],
        ["application/json; charset=latin1; charset=utf-8"],
        ["application/json", "text/plain; charset=utf-7"],
        ["application/json; charset*=utf-8''utf-16"],
        ["application/json; charset="],
        ['application/json; charset="utf\\-16"'],
        ["application/json;charset = shift_jis"],
    ],
)
def test_any_other_charset_is_refused(values: list[str]) -> None:
    with pytest.raises(GatewayError) as caught:
        require_utf_8(values)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("values", "packed"), [([], False), (["identity"], False), (["gzip"], True), ([" GZip "], True)]
)
def test_one_coding_is_understood(values: list[str], packed: bool) -> None:
    assert is_gzip(values) is packed


@pytest.mark.parametrize(
    "values",
    [
        ["br"],
        ["deflate"],
        ["x-gzip"],
        ["gzip, gzip"],
        ["gzip", "gzip"],
        ["identity, gzip"],
        [""],
        ["gzip,"],
        ["gzip;q=1"],
    ],
)
def test_every_other_coding_is_415(values: list[str]) -> None:
    with pytest.raises(GatewayError) as caught:
        is_gzip(values)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_one_whole_member_is_unpacked_up_to_the_bound() -> None:
    assert unpack(gzip.compress(CONTENT), len(CONTENT)) == CONTENT


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with pytest.raises(GatewayError) as caught:
        unpack(bomb, 1_000_000)
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        CONTENT,
        zlib.compress(CONTENT),
        gzip.compress(CONTENT, mtime=0)[:-1],
        gzip.compress(CONTENT, mtime=0)[:-8],
        gzip.compress(CONTENT, mtime=0) + b"\0",
        gzip.compress(CONTENT, mtime=0) + gzip.compress(b'{"voice": "y"}', mtime=0),
        gzip.compress(CONTENT, mtime=0)[:-8] + b"\0" * 8,
    ],
)
def test_what_is_not_exactly_one_whole_member_is_refused(packed: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        unpack(packed, 1000)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
