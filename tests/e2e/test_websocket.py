"""WebSockets through the gateway, with aiohttp's own client and server as peers, and with raw frames."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from e2e_kit.processes import running
from e2e_kit.world import CONFIG, database_url
from kyma_proxy.database.target import DatabaseTarget

PATH = "/v1/audio/live"
HEAD = (
    f"GET {PATH} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
FIXTURES = Path(__file__).parents[1] / "fixtures" / "tls"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Live:
    """An origin that echoes, and closes with a code when it is told to: `close 4001 reason`."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.headers: Any = None
        self.port = 0
        self.over = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers = request.headers
        if "Upgrade" not in request.headers:
            return web.json_response({"upgraded": False})
        if "refuse" in request.query:
            return web.json_response({"error": "not you"}, status=403, headers={"X-Why": "because"})
        socket = web.WebSocketResponse(protocols=("voice.v2", "voice.v1"), max_msg_size=0)
        await socket.prepare(request)
        try:
            await self._talk(socket)
        finally:
            self.close_code = socket.close_code
            self.over.set()
        return socket

    async def _talk(self, socket: web.WebSocketResponse) -> None:
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.CLOSE:
                self.close_reason = message.extra
            if message.type is WSMsgType.TEXT and message.data.startswith("close "):
                _, code, reason = message.data.split(" ", 2)
                await socket.close(code=int(code), message=reason.encode())
            elif message.type is WSMsgType.TEXT and message.data == "ping me":
                await socket.ping(b"are you there")
            elif message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            else:
                return


@asynccontextmanager
async def live_on(port: int) -> AsyncIterator[Live]:
    live = Live()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", live.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    live.port = runner.addresses[0][1]
    try:
        yield live
    finally:
        await runner.cleanup()


@pytest.fixture(params=[False, True], ids=["cancellation-off", "cancellation-on"])
async def world(make_world: Callable[..., Awaitable[Any]], request: pytest.FixtureRequest) -> Any:
    world = await make_world(handler_cancellation=request.param)
    await world.origin.stop()
    return world


@pytest.fixture
async def live(world: Any) -> AsyncIterator[Live]:
    async with live_on(world.origin.port) as live:
        yield live


async def test_messages_of_every_kind_and_size(world: Any, live: Live) -> None:
    async with world.http.ws_connect(world.base_url + PATH, max_msg_size=0) as socket:
        for text in ("", "héllo", "x" * 70_000):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=5) == text
        for size in (0, 1, 1_000_000, 5_000_000):
            data = bytes(range(256)) * (size // 256)
            await socket.send_bytes(data)
            assert await socket.receive_bytes(timeout=10) == data
    assert live.headers["Upgrade"] == "websocket"
    assert live.headers["Via"] == "1.1 kyma-proxy"
    assert live.headers["X-Forwarded-For"] == "127.0.0.1"


async def test_subprotocol_and_compression_are_negotiated_end_to_end(world: Any, live: Live) -> None:
    url = world.base_url + PATH
    async with world.http.ws_connect(url, protocols=("other", "voice.v1"), compress=15) as socket:
        assert (socket.protocol, socket.compress) == ("voice.v1", 15)
        await socket.send_str("again and " * 10_000)
        assert await socket.receive_str(timeout=5) == "again and " * 10_000
    async with world.http.ws_connect(url) as socket:
        assert (socket.protocol, socket.compress) == (None, 0)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (4001, "a reason of ours")])
async def test_close_codes_arrive_at_the_origin(world: Any, live: Live, code: int, reason: str) -> None:
    async with world.http.ws_connect(world.base_url + PATH) as socket:
        await socket.close(code=code, message=reason.encode())
    async with asyncio.timeout(5):
        await live.over.wait()
    assert (live.close_code, live.close_reason) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1011, "fault"), (4001, "a reason of theirs")])
async def test_close_codes_arrive_at_the_client(world: Any, live: Live, code: int, reason: str) -> None:
    async with world.http.ws_connect(world.base_url + PATH, autoclose=False) as socket:
        await socket.send_str(f"close {code} {reason}")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, reason)


async def test_pings_and_pongs_pass_both_ways(world: Any, live: Live) -> None:
    async with world.http.ws_connect(world.base_url + PATH, autoping=False) as socket:
        await socket.ping(b"mine")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (WSMsgType.PONG, b"mine")
        await socket.send_str("ping me")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (WSMsgType.PING, b"are you there")
        await socket.pong(message.data)


def _masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return struct.pack("!BB", opcode | (0x80 if final else 0), 0x80 | len(payload)) + mask + masked


async def _raw(world: Any, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.application.data.port)
    writer.write(data)
    return reader, writer


async def test_frames_glued_to_the_request_and_fragments(world: Any, live: Live) -> None:
    glued = _masked(1, b"be", final=False) + _masked(9, b"!") + _masked(0, b"hind")
    reader, writer = await _raw(world, HEAD + glued)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert b"\r\nUpgrade: websocket\r\n" in head
        assert b"\r\nConnection: upgrade\r\n" in head
        assert await reader.readexactly(3 + 8) == b"\x8a\x01!" + b"\x81\x06behind"
    writer.close()


async def test_a_refusal_comes_back_with_its_body(world: Any, live: Live) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await world.http.ws_connect(f"{world.base_url}{PATH}?refuse")
    assert caught.value.status == 403
    refused = HEAD.replace(b"live", b"live?refuse", 1)
    reader, writer = await _raw(world, refused + HEAD)
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"\r\nX-Why: because\r\n" in head
    assert json.loads(body) == {"error": "not you"}, "what was pipelined behind it is not served"
    writer.close()


@pytest.mark.parametrize(
    "fields",
    [
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n",
        "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
    ],
)
async def test_other_upgrades_are_served_without_one(world: Any, live: Live, fields: str) -> None:
    reader, writer = await _raw(world, f"GET {PATH} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode())
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    assert not {"Upgrade", "HTTP2-Settings"} & set(live.headers)


async def test_http_1_0_has_no_upgrade(world: Any, live: Live) -> None:
    reader, writer = await _raw(world, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"))
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert "Upgrade" not in live.headers
    writer.close()


async def test_a_websocket_does_not_begin_with_a_body(world: Any, live: Live) -> None:
    reader, writer = await _raw(world, HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"))
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    assert live.headers is None
    writer.close()


@pytest.mark.parametrize("path", ["/v1/audio/voice-clone", "/v1/audio/speech"])
async def test_guarded_endpoints_refuse_it(world: Any, live: Live, path: str) -> None:
    reader, writer = await _raw(world, HEAD.replace(PATH.encode(), path.encode()) + b"\x81\x80abcd")
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"invalid_request"' in answer
    assert live.headers is None
    writer.close()


async def test_a_client_that_is_gone_is_gone_for_the_origin_too(world: Any, live: Live) -> None:
    socket = await world.http.ws_connect(world.base_url + PATH)
    await socket.send_str("hello")
    assert await socket.receive_str(timeout=5) == "hello"
    socket._response.connection.transport.abort()
    async with asyncio.timeout(1):
        await live.over.wait()
    assert live.close_code == 1006
    await socket.close()


async def test_an_origin_that_is_gone_is_gone_for_the_client_too(world: Any) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Hi\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", world.origin.port)
    reader, writer = await _raw(world, HEAD)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"x")
    async with asyncio.timeout(1):
        assert await reader.read() == b""
    for end in (writer, server):
        end.close()


async def test_over_tls_in_the_log_and_through_a_drain(tmp_path: Path, database_target: DatabaseTarget) -> None:
    for name in ("crt", "key"):
        shutil.copy(FIXTURES / f"one.{name}", tmp_path / f"tls.{name}")
    path = tmp_path / "gateway.yaml"
    trusting = ssl.create_default_context(cafile=str(FIXTURES / "one.crt"))
    server = f"tls: {{certificate: {tmp_path}/tls.crt, key: {tmp_path}/tls.key}}"
    async with live_on(0) as live, aiohttp.ClientSession() as http:
        origin = f"http://127.0.0.1:{live.port}"
        text = CONFIG.format(
            server=server, clone="", ownership="", plugins="", minimax=origin, key="k", minimax_extra="", origin=origin
        )
        text = text.replace("drain_seconds: 10", "drain_seconds: 1")
        path.write_text(text.replace("${TEST_DATABASE_URL}", database_url(database_target)))
        async with running("serve", "--config", str(path)) as gateway:
            url = f"wss://localhost:{(await gateway.event('serving'))['port']}{PATH}"
            async with http.ws_connect(url, ssl=trusting) as socket:
                await socket.send_bytes(bytes(1_000_000))
                assert await socket.receive_bytes(timeout=10) == bytes(1_000_000)
            line = await gateway.event("request")
            assert (line["status"], line["reason"], line["route"]) == (101, "completed", "/v1/audio/**")
            assert 1_000_000 < line["bytes_in"] < 1_000_100
            assert 1_000_000 < line["bytes_out"] < 1_000_100
            socket = await http.ws_connect(url, ssl=trusting)
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.event("draining")
            await socket.send_str("still there")
            assert await socket.receive_str(timeout=5) == "still there"
            message = await socket.receive(timeout=10)
            assert message.type in (WSMsgType.CLOSED, WSMsgType.ERROR)
            cut = json.loads(await gateway.wait_for('"reason": "drained"'))
            assert (cut["event"], cut["status"]) == ("request", 101)
            async with asyncio.timeout(20):
                await gateway.process.wait()
