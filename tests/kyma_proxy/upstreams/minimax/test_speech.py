"""Speaking over real sockets: what is asked for, what comes back, who leaves when, and what each failure becomes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ConnectionTimeoutError
from aiohttp.client_reqrep import ConnectionKey
from structlog.testing import capture_logs

from kyma_proxy.errors import ErrorCode
from kyma_proxy.flow import ClientLeftError
from kyma_proxy.upstreams.minimax import speech_request

CALL = "/v1/t2a_v2"
PUBLIC = "https://api.minimax.test"
DOCUMENT = {"model": "minimax-speech-hd", "input": "Platform four, ten minutes.", "voice_id": "kyma_0123456789abcdef"}
GOOD = {"data": {"audio": "494433", "status": 2, "ced": ""}, "extra_info": {"usage_characters": 27}}


async def test_whole_speech_is_one_call_and_its_bytes(speak: Any, provider: Any, wire: Any) -> None:
    provider.answers[CALL] = GOOD
    flow = wire.flow("POST", "/v1/audio/speech")
    reply = await speak(provider.base_url, flow, response_format="wav", metadata={"voice_setting": {"voice_id": "x"}})
    assert (reply.status, reply.body, reply.forwarded) == (200, b"ID3", False)
    assert dict(reply.headers) == {"Content-Type": "audio/wav"}
    assert provider.json_of(CALL) == [
        {
            "model": "speech-02-hd",
            "text": DOCUMENT["input"],
            "stream": False,
            "output_format": "hex",
            "voice_setting": {"voice_id": DOCUMENT["voice_id"]},
            "audio_setting": {"format": "wav", "sample_rate": 24000, "channel": 1},
        }
    ]
    assert "authorization: bearer sk-api-very-secret" in provider.heads[0].lower()
    assert flow.facts == {"usage_characters": 27}


async def test_streamed_speech_leaves_piece_by_piece(speak: Any, provider: Any, spoken: Any, wire: Any) -> None:
    go_on = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n" + spoken.piece(b"ID3")
        )
        await asyncio.wait_for(go_on.wait(), 2)
        writer.write(spoken.piece(b"\xff\xf3") + spoken.closing())

    provider.answers[CALL] = answer
    flow = wire.flow("POST", "/v1/audio/speech")
    reply = await speak(provider.base_url, flow, stream=True)
    assert (reply.status, dict(reply.headers)) == (200, {"Content-Type": "audio/mpeg"})
    pieces = aiter(reply.body)
    assert await asyncio.wait_for(anext(pieces), 1) == b"ID3"
    go_on.set()
    assert [piece async for piece in pieces] == [b"\xff\xf3"]
    await reply.body.aclose()
    assert flow.facts == {"usage_characters": 27}
    (sent,) = provider.json_of(CALL)
    assert (sent["stream"], sent["stream_options"]) == (True, {"exclude_aggregated_audio": True})


async def test_a_request_that_cannot_be_honoured_reaches_nobody(speak: Any, provider: Any, spoken: Any) -> None:
    for changes in ({"model": "eleven-v3"}, {"voice_id": None}, {"response_format": "aac"}, {"voice": "other"}):
        assert (await spoken.failure(speak(provider.base_url, **changes))).code.status == 400
    assert provider.calls == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "content_type", "body", "expected", "pages"),
    [
        (b"404 Not Found", b"text/plain", b"404 page not found", ErrorCode.PROVIDER_ERROR, True),
        (b"401 Unauthorized", b"application/json", b"{}", ErrorCode.PROVIDER_ERROR, True),
        (b"402 Payment Required", b"application/json", b"{}", ErrorCode.PROVIDER_ERROR, True),
        (b"429 Too Many", b"application/json", b'{"type":"error","error":{}}', ErrorCode.RATE_LIMITED, False),
        (b"502 Bad Gateway", b"text/html", b"<html>", ErrorCode.PROVIDER_ERROR, False),
        (b"502 Bad Gateway", b"text/event-stream", b"data: {}\n\n", ErrorCode.PROVIDER_ERROR, False),
        (b"200 OK", b"text/html", b"<html>", ErrorCode.PROVIDER_ERROR, False),
        (b"200 OK", b"text/event-stream", b"", ErrorCode.PROVIDER_ERROR, False),
        (b"302 Found", b"text/html", b"", ErrorCode.PROVIDER_ERROR, True),
    ],
)
async def test_an_answer_that_is_none(
    status: bytes,
    content_type: bytes,
    body: bytes,
    expected: ErrorCode,
    pages: bool,
    stream: bool,
    speak: Any,
    provider: Any,
    spoken: Any,
) -> None:
    provider.answers[CALL] = spoken.raw(status, content_type, body)
    with capture_logs() as logs:
        assert (await spoken.failure(speak(provider.base_url, stream=stream))).code is expected
    assert ("provider_operator_fault" in [line["event"] for line in logs]) is pages


async def test_a_success_that_was_to_be_streamed_and_came_whole_is_audio(speak: Any, provider: Any) -> None:
    provider.answers[CALL] = GOOD
    assert (await speak(provider.base_url, stream=True)).body == b"ID3"


async def test_a_whole_answer_has_a_limit(
    speak: Any, provider: Any, monkeypatch: pytest.MonkeyPatch, spoken: Any
) -> None:
    monkeypatch.setattr(speech_request, "WHOLE_BYTES_MAX", 1000)
    provider.answers[CALL] = {"data": {"audio": "00" * 500, "status": 2}}
    assert (await spoken.failure(speak(provider.base_url))).code is ErrorCode.PROVIDER_ERROR


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unreachable_provider(stream: bool, speak: Any, refused_url: str, spoken: Any) -> None:
    error = await spoken.failure(speak(refused_url, stream=stream))
    assert (error.code, error.should_retry) == (ErrorCode.PROVIDER_ERROR, True)


KEY = ConnectionKey("api.minimax.test", 443, True, True, None, None, None, None)


@pytest.mark.parametrize(
    ("exception", "code", "should_retry"),
    [
        (ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), ErrorCode.PROVIDER_ERROR, True),
        (ConnectionTimeoutError("slow"), ErrorCode.PROVIDER_ERROR, False),
        (TimeoutError(), ErrorCode.UPSTREAM_TIMEOUT, False),
        (ConnectionResetError(), ErrorCode.PROVIDER_ERROR, False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_failures_of_the_connection_and_no_second_attempt(
    exception: Exception,
    code: ErrorCode,
    should_retry: bool,
    speak: Any,
    spoken: Any,
    cut_off: Any,
) -> None:
    attempts = cut_off(exception)
    error = await spoken.failure(speak(PUBLIC))
    assert (error.code, error.should_retry) == (code, should_retry)
    assert len(attempts) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_provider_times_out(stream: bool, speak: Any, origin: Any, wire: Any, spoken: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        await reader.read()

    server = await origin(serve)
    assert (await spoken.failure(speak(server.base_url, stream=stream))).code is ErrorCode.UPSTREAM_TIMEOUT
    assert server.connections == 1


async def test_a_provider_that_falls_silent_or_is_reset_breaks_off(
    speak: Any, origin: Any, wire: Any, spoken: Any
) -> None:
    def serve_then(end: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await wire.read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + spoken.piece(b"ID3"))
            await writer.drain()
            await end(reader, writer)

        return serve

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        wire.reset(writer)

    for end, code in ((silence, ErrorCode.UPSTREAM_TIMEOUT), (reset, ErrorCode.PROVIDER_ERROR)):
        server = await origin(serve_then(end))
        audio, error = await spoken.play(await speak(server.base_url, stream=True))
        assert audio == b"ID3"
        assert error is not None
        assert error.code is code


class Watched:
    """A provider that notices when a call is cut: `cut` is set. What it sends first is `sent`."""

    def __init__(self, sent: bytes, wire: Any) -> None:
        self._sent = sent
        self._wire = wire
        self.asked = asyncio.Event()
        self.cut = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await self._wire.read_head(reader)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(self._sent)
        self.asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.cut.set()


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("stream", "sent"),
    [
        (False, b""),
        (False, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"),
        (True, b""),
        (True, STREAM_HEAD),
        (True, STREAM_HEAD + b": working on it\n\n"),
    ],
)
async def test_a_client_that_leaves_before_the_audio_ends_the_call(
    stream: bool, sent: bytes, speak: Any, origin: Any, wire: Any
) -> None:
    watched = Watched(sent, wire)
    server = await origin(watched.serve)
    flow = wire.flow("POST", "/v1/audio/speech")
    flow.client_connected = lambda: not watched.asked.is_set()
    with capture_logs() as logs, pytest.raises(ClientLeftError):
        await speak(server.base_url, flow, stream=stream)
    assert [line["event"] for line in logs] == ["provider_call_cut"]
    await asyncio.wait_for(watched.cut.wait(), 1)


async def test_a_client_that_leaves_while_listening_ends_the_call_at_once(
    speak: Any, origin: Any, wire: Any, spoken: Any
) -> None:
    watched = Watched(STREAM_HEAD + spoken.piece(b"ID3"), wire)
    reply = await speak((await origin(watched.serve)).base_url, stream=True)
    assert await anext(aiter(reply.body)) == b"ID3"
    assert not watched.cut.is_set()
    with capture_logs() as logs:
        await reply.body.aclose()
    assert [(line["event"], line["first_audio_seconds"] >= 0) for line in logs] == [("provider_call_cut", True)]
    await asyncio.wait_for(watched.cut.wait(), 1)


async def test_a_caller_that_is_cancelled_ends_the_call(speak: Any, origin: Any, wire: Any) -> None:
    watched = Watched(STREAM_HEAD, wire)
    server = await origin(watched.serve)
    task = asyncio.get_running_loop().create_task(speak(server.base_url, stream=True))
    await asyncio.wait_for(watched.asked.wait(), 2)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(watched.cut.wait(), 1)


async def test_comments_alone_do_not_keep_a_client_waiting_for_ever(
    speak: Any, origin: Any, wire: Any, spoken: Any
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(STREAM_HEAD)
        for _ in range(200):
            writer.write(b": still working on it\n\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    server = await origin(serve)
    assert (await spoken.failure(speak(server.base_url, stream=True))).code is ErrorCode.UPSTREAM_TIMEOUT


async def test_head_and_first_audio_share_the_time_for_the_first_byte(
    speak: Any, origin: Any, wire: Any, spoken: Any
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        await asyncio.sleep(0.2)
        writer.write(STREAM_HEAD)
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(spoken.piece(b"ID3") + spoken.closing())

    server = await origin(serve)
    assert (await spoken.failure(speak(server.base_url, stream=True))).code is ErrorCode.UPSTREAM_TIMEOUT


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_is_used_again_after_a_whole_answer(
    stream: bool, speak: Any, origin: Any, wire: Any, spoken: Any
) -> None:
    events = spoken.piece(b"ID3") + spoken.closing()
    body = events if stream else json.dumps({**GOOD, "base_resp": {"status_code": 0}}).encode()
    kind = b"text/event-stream" if stream else b"application/json"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await wire.read_head(reader)
            await reader.readexactly(int(request.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            writer.write(head + b"%x\r\n%b\r\n" % (len(body), body))
            await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")

    server = await origin(serve)
    for _ in range(3):
        reply = await speak(server.base_url, stream=stream)
        assert (await spoken.play(reply))[0] == b"ID3" if stream else reply.body == b"ID3"
    assert server.connections == 1


async def test_a_stream_is_not_kept_in_memory(speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers[CALL] = spoken.streaming(*[spoken.piece(bytes(4096))] * 1000, spoken.closing())
    reply = await speak(provider.base_url, stream=True)
    tracemalloc.start()
    try:
        size = 0
        async for piece in reply.body:
            size += len(piece)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await reply.body.aclose()
    assert size == 4096 * 1000
    # The provider runs in this process too: its own buffers are in the figure.
    assert peak_bytes < 512 * 1024
