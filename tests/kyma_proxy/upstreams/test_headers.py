"""Which headers go on, and that every byte of them survives."""

from __future__ import annotations

import pytest

from kyma_proxy.heads import serialize_head
from kyma_proxy.upstreams.headers import (
    LeftOut,
    end_to_end,
    new_traceparent,
    trace_id_of,
    unreadable,
)


def test_hop_by_hop_headers_and_those_that_connection_names_stay_behind() -> None:
    raw = (
        (b"Connection", b"close, X-Private ,x-other"),
        (b"connection", b"Third"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Authenticate", b"Basic"),
        (b"Proxy-Authorization", b"Basic abc"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"TE", b"trailers"),
        (b"Trailer", b"X-Sum"),
        (b"Trailers", b"X-Sum"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Upgrade", b"h2c"),
        (b"X-PRIVATE", b"1"),
        (b"X-Other", b"2"),
        (b"third", b"3"),
        (b"X-Kept", b"4"),
    )
    assert end_to_end(raw) == [("X-Kept", "4")]


def test_order_spelling_and_repetition_are_kept() -> None:
    raw = ((b"x-B", b"1"), (b"X-a", b"2"), (b"X-b", b"3"), (b"Set-Cookie", b"a"), (b"set-cookie", b"b"))
    assert end_to_end(raw) == [
        ("x-B", "1"),
        ("X-a", "2"),
        ("X-b", "3"),
        ("Set-Cookie", "a"),
        ("set-cookie", "b"),
    ]


def test_what_a_hop_leaves_out_is_left_out_in_any_spelling() -> None:
    raw = ((b"HOST", b"a"), (b"X", b"b"), (b"X-Mine-a", b"c"), (b"TE", b"trailers"), (b"xx-mine", b"d"))
    left_out = LeftOut.without([b"host"], prefix=b"x-mine")
    assert end_to_end(raw, left_out) == [("X", "b"), ("xx-mine", "d")]


def test_bytes_of_any_encoding_come_out_as_they_went_in() -> None:
    headers = end_to_end(((b"X-Latin", b"caf\xe9"), (b"X-Utf8", "café".encode())))
    assert (
        serialize_head("GET / HTTP/1.1", headers)
        == b"GET / HTTP/1.1\r\nX-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\n\r\n"
    )


CHUNKED = (b"transfer-encoding", b"Chunked")


@pytest.mark.parametrize(
    ("raw", "readable"),
    [
        ((), True),
        (((b"X", b"caf\xe9 \t;"), CHUNKED), True),
        ((CHUNKED, CHUNKED), False),
        (((b"Transfer-Encoding", b"gzip, chunked"),), False),
        (((b"Transfer-Encoding", b"gzip"), CHUNKED), False),
        (((b"X", b"a\x01"),), False),
        (((b"X", b"a\rY: b"),), False),
        (((b"X", b"\x7f"),), False),
    ],
)
def test_a_head_that_would_change_its_meaning_is_unreadable(
    raw: tuple[tuple[bytes, bytes], ...], readable: bool
) -> None:
    assert (unreadable(None, raw) is None) is readable


def test_each_new_trace_has_its_own_id() -> None:
    one, other = (trace_id_of(new_traceparent()) for _ in range(2))
    assert one
    assert one != other
    assert len(one) == 32


@pytest.mark.parametrize("sent", ["", "00-abc-def-01", "00-" + "g" * 32 + "-" + "0" * 16 + "-01"])
def test_what_names_no_trace_has_no_id(sent: str) -> None:
    assert trace_id_of(sent) is None


def test_a_head_that_leaves_http_keeps_the_words_for_it_and_no_others() -> None:
    raw = (
        (b"Connection", b"keep-alive, x-hop , upGrade"),
        (b"X-Hop", b"1"),
        (b"upgrade", b"WebSocket"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Connection", b"TE"),
        (b"Sec-WebSocket-Key", b"x"),
    )
    kept = [("Connection", "upGrade"), ("upgrade", "WebSocket"), ("Sec-WebSocket-Key", "x")]
    assert end_to_end(raw, upgrade=True) == kept
    assert end_to_end(raw) == kept[2:]


@pytest.mark.parametrize(
    ("phrase", "readable"),
    [(None, True), ("OK", True), ("caf\udce9", True), ("a\tb", True), ("O\x01K", False), ("\x7f", False)],
)
def test_a_status_line_with_control_characters_is_unreadable(phrase: str | None, readable: bool) -> None:
    assert (unreadable(phrase, ()) is None) is readable
