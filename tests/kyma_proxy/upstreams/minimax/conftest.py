"""A provider that answers call by call as told, over real sockets, settings to reach it, and what it streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from aiohttp.connector import Connection
from yarl import URL

from kyma_proxy.errors import GatewayError
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.settings.models import MiniMaxUpstreamSettings, UpstreamTimeouts
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.connections import Connections
from kyma_proxy.upstreams.minimax.calls import Calls, Credentials
from kyma_proxy.upstreams.minimax.client import MiniMaxClient
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.upstreams.transport import Transport

KEY = "sk-api-very-secret"
DOCUMENT = {"model": "minimax-speech-hd", "input": "Platform four, ten minutes.", "voice_id": "kyma_0123456789abcdef"}


class Provider:
    """Answers each path with what `answers` has for it; a callable gets the writer and does as it likes."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, bytes]] = []
        """Path with query and body, in their order."""
        self.heads: list[str] = []
        self.base_url = ""

    def json_of(self, path: str) -> list[dict[str, Any]]:
        """The JSON bodies sent to a path."""
        return [json.loads(body) for called, body in self.calls if called.partition("?")[0] == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lengths = [int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")]
            path = head.split(" ")[1]
            self.heads.append(head)
            self.calls.append((path, await reader.readexactly(sum(lengths))))
            answer = self.answers.get(path.partition("?")[0], {})
            if callable(answer):
                await answer(writer)
                return
            body = json.dumps({"base_resp": {"status_code": 0, "status_msg": "success"}, **answer}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nTrace-Id: 06a1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


EXTRA_INFO = {
    "audio_length": 1840,
    "audio_size": 29952,
    "usage_characters": 27,
    "audio_format": "mp3",
    "word_count": 27,
}


def _event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def _piece(audio: bytes | str, **changes: Any) -> bytes:
    """An event with audio, as the provider sends them while it speaks."""
    text = audio if isinstance(audio, str) else audio.hex()
    fields = {"data": {"audio": text, "status": 1, "ced": ""}, "trace_id": "06a1"}
    return _event(**{**fields, "base_resp": {"status_code": 0, "status_msg": ""}, **changes})


def _closing(audio: bytes = b"", code: int = 0) -> bytes:
    """The last event; with `audio`, all of it once more."""
    data = {"audio": audio.hex(), "status": 2, "ced": ""}
    return _event(data=data, extra_info=EXTRA_INFO, base_resp={"status_code": code, "status_msg": "success"})


def _refusal(code: int, message: str = "why", **fields: Any) -> bytes:
    return _event(**fields, base_resp={"status_code": code, "status_msg": message})


def _streaming(*chunks: bytes, pause_seconds: float = 0) -> Any:
    """An answer that streams these chunks, each written on its own, and then closes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTrace-Id: 06a1\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
            await asyncio.sleep(pause_seconds)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return answer


async def _failure(call: Awaitable[object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await call
    return caught.value


async def _play(reply: Reply) -> tuple[bytes, GatewayError | None]:
    """The audio of a stream up to its end, and why it is none."""
    assert not isinstance(reply.body, bytes)
    audio = b""
    try:
        async for piece in reply.body:
            audio += piece
    except GatewayError as error:
        return audio, error
    finally:
        await reply.body.aclose()
    return audio, None


def _raw(status: bytes, content_type: bytes, body: bytes) -> Any:
    async def answer(writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, content_type, len(body))
        writer.write(head + body)
        await writer.drain()

    return answer


@pytest.fixture
def spoken() -> SimpleNamespace:
    """What the provider sends when it speaks, and what is heard of it."""
    return SimpleNamespace(
        event=_event,
        piece=_piece,
        closing=_closing,
        refusal=_refusal,
        streaming=_streaming,
        raw=_raw,
        failure=_failure,
        play=_play,
    )


@pytest.fixture
async def provider(origin: Callable[..., Awaitable[Any]]) -> Provider:
    one = Provider()
    one.answers["/v1/files/upload"] = {"file": {"file_id": 318207745120993412}}
    one.base_url = (await origin(one.serve)).base_url
    return one


@pytest.fixture
def settings(quick: UpstreamTimeouts) -> Callable[..., MiniMaxUpstreamSettings]:
    def make(base_url: str, **more: Any) -> MiniMaxUpstreamSettings:
        values = {"base_url": base_url, "api_key": KEY, "timeouts": quick, "clone_timeout_seconds": 0.5, **more}
        return MiniMaxUpstreamSettings.model_validate(values)

    return make


@pytest.fixture
async def client_of(settings: Any) -> AsyncIterator[Callable[..., Awaitable[MiniMaxClient]]]:
    """Starts a client of its own transport; keywords change the settings."""
    transports: list[Transport] = []

    async def start(base_url: str, failpoints: Failpoints = NO_FAILPOINTS, **more: Any) -> MiniMaxClient:
        made = settings(base_url, **more)
        transport = Transport(str(made.base_url), made.timeouts)
        transports.append(transport)
        await transport.start()
        calls = Calls(transport, Credentials(made.api_key, made.group_id))
        return MiniMaxClient(calls, made.clone_timeout_seconds, failpoints=failpoints)

    yield start
    for transport in transports:
        await transport.stop()


@pytest.fixture
async def speak(settings: Any, wire: Any) -> AsyncIterator[Callable[..., Awaitable[Reply]]]:
    """Speaks through an upstream at a base URL; keywords change the document."""
    structlog.reset_defaults()
    opened: dict[str, MiniMaxUpstream] = {}

    async def send(base_url: str, flow: Flow | None = None, /, **changes: Any) -> Reply:
        if base_url not in opened:
            made = settings(base_url, models={"minimax-speech-hd": "speech-02-hd"})
            opened[base_url] = MiniMaxUpstream("minimax", made, Tasks())
            await opened[base_url].start()
        flow = flow or wire.flow("POST", "/v1/audio/speech")
        flow.document = {**DOCUMENT, **changes}
        return await opened[base_url].send(flow)

    yield send
    for upstream in opened.values():
        await upstream.stop()


@pytest.fixture
def key() -> str:
    return KEY


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], list[URL]]:
    """Lets no connection be made; what was tried goes into the list that it returns."""

    def fail_with(exception: Exception) -> list[URL]:
        attempts: list[URL] = []

        async def take(self: Connections, origin: URL) -> Connection:
            attempts.append(origin)
            raise exception

        monkeypatch.setattr(Connections, "take", take)
        return attempts

    return fail_with
