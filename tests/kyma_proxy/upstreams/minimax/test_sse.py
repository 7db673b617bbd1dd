"""Events are the same however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kyma_proxy.upstreams.minimax.sse import EventReader, EventTooLongError

PLENTY = 1024 * 1024

LINES = st.one_of(
    st.binary(max_size=12),
    st.just(b""),
    st.binary(max_size=12).map(lambda value: b"data:" + value),
    st.text(max_size=6).map(lambda value: b"data: " + value.encode("utf-8", "replace")),
    st.sampled_from([b": ping", b"data", b"event: x", b"id: 1", b"retry: 5", b"data:  two spaces", b"dataset: no"]),
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(lambda lines: b"".join(b"".join(each) for each in lines))


def read(*chunks: bytes, event_bytes_max: int = PLENTY) -> list[bytes]:
    reader = EventReader(event_bytes_max)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + list(reader.end())


@given(STREAMS, st.lists(st.integers(0, 200), max_size=8))
@example(b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\n\r\n", [1, 2, 11, 13, 14])
@example(b"data: a\r\rdata: b\n\r\ndata: c\n\n", [8, 9, 18, 19])
def test_any_split_of_any_stream_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    assert read(*chunks) == read(stream)
    assert read(*(bytes([byte]) for byte in stream)) == read(stream)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n"), min_size=1, max_size=20), max_size=6), ENDS)
def test_what_was_written_as_an_event_is_read_back(texts: list[str], end: bytes) -> None:
    events = [text.encode("utf-8", "surrogatepass") for text in texts]
    assert read(b"".join(b"data: " + event + end + end for event in events)) == events


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\ndata: {"b":2}\n\n', [b'{"a":1}', b'{"b":2}']),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"data:tight\n\n", [b"tight"]),
        (b": comment\n\n: another\n\ndata: x\n: inside\n\n", [b"x"]),
        (b"event: audio\nid: 7\nretry: 10\ndata: x\n\n", [b"x"]),
        (b"data\n\ndata:\n\ndata: x\n\n", [b"x"]),
        (b"\xef\xbb\xbfdata: x\n\n", [b"x"]),
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [b"x"]),
        (b"datax: y\n\n data: z\n\n", []),
        (b"data: no blank line after it\n", [b"no blank line after it"]),
        (b"data: no line end at all", [b"no line end at all"]),
        (b"data: \xe2\x98\x83 \xff\n\n", [b"\xe2\x98\x83 \xff"]),
        (b"", []),
    ],
)
def test_the_rules_of_the_format(stream: bytes, events: list[bytes]) -> None:
    assert read(stream) == events


@pytest.mark.parametrize("tail", [b"d" * 11, b"data: " + b"d" * 9, b"data: 4567\ndata: 890", b": " + b"c" * 10])
def test_an_event_has_a_limit_and_those_before_it_are_given(tail: bytes) -> None:
    reader = EventReader(10)
    given_before = reader.feed(b"data: 12\n\n" + tail)
    assert next(given_before) == b"12"
    with pytest.raises(EventTooLongError):
        next(given_before)


def test_many_events_and_comments_together_may_be_over_the_limit_of_one() -> None:
    stream = b"data: 1234\n\n: comm\n" * 1000
    assert read(stream, event_bytes_max=10) == [b"1234"] * 1000
