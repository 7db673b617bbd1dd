"""Events in, audio out: any split, every way of ending."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow
from kyma_proxy.settings.models import UpstreamTimeouts
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax import speech_stream
from kyma_proxy.upstreams.minimax.calls import Calls, Credentials
from kyma_proxy.upstreams.minimax.speech_outcome import SpeechOutcome
from kyma_proxy.upstreams.minimax.speech_stream import SpeechStream
from kyma_proxy.upstreams.transport import Transport

OK = b'"base_resp":{"status_code":0,"status_msg":""}'
FIRST = b'data: {"data":{"audio":"0102","status":1},' + OK + b"}\n\n"
SECOND = b'data: {"data":{"audio":"03","status":1},"note":"\xe2\x98\x83",' + OK + b"}\r\n\r\n"
CLOSING = b'data: {"data":{"audio":"010203","status":2},"extra_info":{"usage_characters":3},' + OK + b"}\n\n"
REFUSED = b'data: {"data":{"audio":"ffff","status":1},"base_resp":{"status_code":1027,"status_msg":"no"}}\n\n'


class Body:
    """What ReplyBody is: chunks, an exception among them if it breaks off; after the last it waits or ends."""

    def __init__(self, chunks: Iterable[bytes | Exception], *, endless: bool = False) -> None:
        self._chunks = list(chunks)
        self._endless = endless
        self.reads = 0
        self.closed = 0

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        self.reads += 1
        if not self._chunks:
            if self._endless:
                await asyncio.sleep(30)
            raise StopAsyncIteration
        chunk = self._chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    async def aclose(self) -> None:
        self.closed += 1


class Alive(Body):
    """After its chunks it only says that it is alive."""

    async def __anext__(self) -> bytes:
        self.reads += 1
        if self._chunks:
            return await super().__anext__()
        await asyncio.sleep(0.01)
        return b": still there\n\n" if self.reads % 2 else b'data: {"data":{"audio":"","status":1},' + OK + b"}\n\n"


def stream_of(body: Body, flow: Flow | None = None, idle_seconds: float = 5) -> SpeechStream:
    calls = Calls(Transport("https://api.minimax.test", UpstreamTimeouts()), Credentials(SecretStr("sk-secret")))
    outcome = SpeechOutcome(flow or make_flow(path="/v1/audio/speech"), calls, "/v1/t2a_v2")
    as_body: Any = body
    return SpeechStream(as_body, outcome, idle_seconds)


async def play(*chunks: bytes | Exception) -> tuple[list[bytes], GatewayError | None]:
    """The pieces that come before the end, and why it is none."""
    stream, pieces = stream_of(Body(chunks)), []
    try:
        async for piece in stream:
            pieces.append(piece)
    except GatewayError as error:
        return pieces, error
    return pieces, None


async def refusal(*chunks: bytes | Exception, endless: bool = False, seconds: float = 5) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await stream_of(Body(chunks, endless=endless)).wait_for_audio(seconds)
    return caught.value


async def test_pieces_come_one_by_one_and_the_last_event_adds_none() -> None:
    flow = make_flow(path="/v1/audio/speech")
    stream = stream_of(Body([FIRST, SECOND, CLOSING]), flow)
    assert [piece async for piece in stream] == [b"\x01\x02", b"\x03"]
    assert flow.facts == {"usage_characters": 3}


@given(st.lists(st.integers(0, len(FIRST + SECOND + CLOSING)), max_size=12))
async def test_the_audio_is_the_same_however_it_is_split(cuts: list[int]) -> None:
    whole = FIRST + SECOND + CLOSING
    edges = [0, *sorted(cuts), len(whole)]
    pieces, error = await play(*(whole[start:end] for start, end in pairwise(edges)))
    assert (b"".join(pieces), error) == (b"\x01\x02\x03", None)


@given(st.integers(0, len(FIRST + SECOND)))
async def test_no_beginning_of_a_stream_passes_for_the_whole(length: int) -> None:
    pieces, error = await play((FIRST + SECOND)[:length])
    assert b"\x01\x02\x03".startswith(b"".join(pieces))
    assert error is not None
    assert error.code is ErrorCode.PROVIDER_ERROR


async def test_a_closing_event_without_its_blank_line_closes() -> None:
    assert await play(FIRST, CLOSING.rstrip()) == ([b"\x01\x02"], None)
    pieces, error = await play(FIRST, CLOSING.rstrip()[:-1])
    assert pieces == [b"\x01\x02"]
    assert error is not None


async def test_nothing_is_read_ahead_of_the_first_audio() -> None:
    body = Body([b": hello\n\n", FIRST, SECOND, CLOSING])
    stream = stream_of(body)
    await stream.wait_for_audio(5)
    assert body.reads == 2
    assert await anext(stream) == b"\x01\x02"
    assert body.reads == 2


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (REFUSED, ErrorCode.CONTENT_POLICY),
        (CLOSING.replace(b'"status_code":0', b'"status_code":1000'), ErrorCode.PROVIDER_ERROR),
        (FIRST.replace(b"0102", b"010"), ErrorCode.PROVIDER_ERROR),
        (FIRST.replace(b"0102", b"01zz"), ErrorCode.PROVIDER_ERROR),
        (b"data: [DONE]\n\n", ErrorCode.PROVIDER_ERROR),
        (b"data: {\n\n", ErrorCode.PROVIDER_ERROR),
        (TransportError(FailureKind.SILENT, "nothing came"), ErrorCode.UPSTREAM_TIMEOUT),
        (TransportError(FailureKind.BROKEN, "reset"), ErrorCode.PROVIDER_ERROR),
    ],
    ids=["refused", "refused closing", "odd hex", "no hex", "done", "no json", "silent", "reset"],
)
async def test_a_failure_after_audio_breaks_off_and_before_it_is_answered(
    bad: bytes | Exception, code: ErrorCode
) -> None:
    pieces, error = await play(FIRST, bad, SECOND, CLOSING)
    assert pieces == [b"\x01\x02"]
    assert error is not None
    assert error.code is code
    if isinstance(bad, bytes):
        pieces, error = await play(FIRST + bad + SECOND + CLOSING)
        assert (pieces, error and error.code) == ([b"\x01\x02"], code)
    assert (await refusal(bad, FIRST, CLOSING)).code is code


async def test_an_event_that_is_too_long_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_stream, "EVENT_BYTES_MAX", 200)
    pieces, error = await play(FIRST, *([b"data: " + b"0" * 50] * 5), CLOSING)
    assert pieces == [b"\x01\x02"]
    assert error is not None
    assert (error.code, error.should_retry) == (ErrorCode.PROVIDER_ERROR, False)


@pytest.mark.parametrize("chunks", [[], [CLOSING], [b": nothing\n\n"], [FIRST.replace(b"0102", b""), CLOSING]])
async def test_a_stream_without_audio_is_a_failure(chunks: list[bytes]) -> None:
    assert (await refusal(*chunks)).code is ErrorCode.PROVIDER_ERROR


async def test_audio_that_does_not_come_in_time() -> None:
    assert (await refusal(b": wait\n\n", endless=True, seconds=0.05)).code is ErrorCode.UPSTREAM_TIMEOUT


async def test_what_follows_the_closing_event_does_not_matter() -> None:
    assert await play(FIRST + CLOSING + SECOND + REFUSED) == ([b"\x01\x02"], None)


async def test_closing_reads_the_end_of_an_answer_that_is_complete() -> None:
    body = Body([FIRST, CLOSING])
    stream = stream_of(body)
    assert [piece async for piece in stream] == [b"\x01\x02"]
    await stream.aclose()
    assert (body.reads, body.closed) == (3, 1)


async def test_closing_does_not_wait_for_an_end_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_stream, "END_SECONDS", 0.01)
    body = Body([FIRST, CLOSING], endless=True)
    stream = stream_of(body)
    assert [piece async for piece in stream] == [b"\x01\x02"]
    async with asyncio.timeout(2):
        await stream.aclose()
    assert body.closed == 1
    broken = Body([FIRST, CLOSING, TransportError(FailureKind.BROKEN, "reset")])
    stream = stream_of(broken)
    assert [piece async for piece in stream] == [b"\x01\x02"]
    await stream.aclose()
    assert broken.closed == 1


async def test_closing_a_stream_in_its_middle_reads_no_more() -> None:
    body = Body([FIRST, SECOND, CLOSING])
    stream = stream_of(body)
    await stream.wait_for_audio(5)
    await stream.aclose()
    assert (body.reads, body.closed) == (1, 1)


async def test_comments_and_events_without_audio_do_not_keep_a_stalled_stream_alive() -> None:
    stream = stream_of(Alive([FIRST]), idle_seconds=0.1)
    assert await anext(stream) == b"\x01\x02"
    async with asyncio.timeout(2):
        with pytest.raises(GatewayError) as caught:
            await anext(stream)
    assert caught.value.code is ErrorCode.UPSTREAM_TIMEOUT
