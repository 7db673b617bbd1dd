from __future__ import annotations

import asyncio
import json

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.observe.endings import EndReason

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("junk", "says"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", "method is not known"),
        (b"HELLO\r\n\r\n", "method is not known"),
        (b"get / HTTP/1.1\r\nHost: h\r\n\r\n", "method is not known"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", "well-formed"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", "well-formed"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", "well-formed"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 9000 + b"\r\n\r\n", "at most 8190 bytes"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", "at most 8190 bytes"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 130 + b"\r\n", "well-formed"),
    ],
)
async def test_malformed_http_gets_the_envelope(serve, echo, junk: bytes, says: str) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(junk)
    answer = await client.answer()
    assert answer.line == b"HTTP/1.1 400 Bad Request"
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"].startswith("req_")
    error = json.loads(answer.body)["error"]
    assert error["code"] == "invalid_request"
    assert says in error["message"]
    assert await client.rest() == b""
    reason = EndReason.LIMITED if "at most" in says else EndReason.MALFORMED
    assert [(record.ending.reason, record.status) for record in edge.records] == [(reason, 400)]


async def test_the_parsers_words_are_not_repeated(serve, echo) -> None:
    edge = await serve(echo)
    answer = await edge.ask(b"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization Bearer ky-secret\r\n\r\n")
    assert answer.status == 400
    assert b"secret" not in answer.body


async def test_a_malformed_request_behind_a_good_one(serve, echo) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(GET)
    assert (await client.answer()).status == 200
    await client.send(b"junk\r\n\r\n")
    assert (await client.answer()).status == 400
    assert await client.rest() == b""


async def test_pipelined_requests_are_answered_in_order(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        return Reply(200, body=flow.path.encode())

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(GET + GET.replace(b"/a", b"/b") + GET.replace(b"/a", b"/c"))
    assert [(await client.answer()).body for _ in range(3)] == [b"/a", b"/b", b"/c"]


async def test_a_head_that_trickles_is_cut(serve, echo) -> None:
    edge = await serve(echo, head_timeout_seconds=0.3)
    client = await edge.connect()
    await client.send(b"GET /a HTTP/1.1\r\n")

    async def trickle() -> None:
        for _ in range(100):
            await client.send(b"X: y\r\n")
            await asyncio.sleep(0.05)

    trickling = asyncio.ensure_future(trickle())
    answer = await asyncio.wait_for(client.answer(), 2)
    trickling.cancel()
    assert answer.status == 408
    assert json.loads(answer.body)["error"]["code"] == "request_timeout"
    assert answer.headers["Connection"] == "close"
    assert edge.records[0].ending.reason is EndReason.TIMED_OUT


async def test_a_slow_head_on_a_connection_in_use_is_cut_too(serve, echo) -> None:
    edge = await serve(echo, head_timeout_seconds=0.2)
    client = await edge.connect()
    await client.send(GET)
    assert (await client.answer()).status == 200
    await asyncio.sleep(0.3)
    await client.send(b"GET /a HT")
    assert (await asyncio.wait_for(client.answer(), 2)).status == 408


async def test_a_silent_connection_is_closed_without_a_word(serve, echo) -> None:
    edge = await serve(echo, head_timeout_seconds=0.1)
    client = await edge.connect()
    assert await asyncio.wait_for(client.rest(), 2) == b""
    assert edge.records == []


async def test_an_idle_connection_is_closed(serve, echo) -> None:
    edge = await serve(echo, keepalive_seconds=0.2)
    client = await edge.connect()
    await client.send(GET)
    assert (await client.answer()).status == 200
    assert await asyncio.wait_for(client.rest(), 2) == b""


async def test_the_head_timer_does_not_run_while_a_body_arrives(serve, echo) -> None:
    edge = await serve(echo, head_timeout_seconds=0.1)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
    for _ in range(4):
        await asyncio.sleep(0.06)
        await client.send(b"x")
    assert (await client.answer()).body == b"xxxx"


async def test_a_refusal_is_read_by_a_client_that_has_already_sent_megabytes(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        raise GatewayError(ErrorCode.AUTH_ERROR, "no key")

    edge = await serve(handle)
    client = await edge.connect()
    size = 12 * 1024 * 1024
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
    answer = await client.answer()
    assert answer.status == 401
    assert answer.headers["Connection"] == "close"
    assert await client.rest() == b""
    await client.close()
    await edge.until(lambda: edge.listener.connections == 0)


async def test_lingering_is_bounded_in_bytes(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        raise GatewayError(ErrorCode.AUTH_ERROR, "no key")

    edge = await serve(handle, linger_bytes=1024 * 1024)
    client = await edge.connect()

    async def flood() -> None:
        await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99000000\r\n\r\n")
        for _ in range(99):
            await client.send(bytes(1_000_000))

    with pytest.raises(ConnectionError):
        await flood()
    await edge.until(lambda: edge.listener.connections == 0)


async def test_lingering_is_bounded_in_time(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        raise GatewayError(ErrorCode.AUTH_ERROR, "no key")

    edge = await serve(handle, linger_seconds=0.2)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nx")
    assert (await client.answer()).status == 401
    await edge.until(lambda: edge.listener.connections == 0)
    assert edge.listener.in_flight == 0


async def test_a_malformed_request_with_megabytes_behind_it_gets_its_answer(serve, echo) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n" + bytes(4 * 1024 * 1024))
    assert (await client.answer()).status == 400


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
async def test_an_upgrade_that_nobody_takes_is_answered_and_ends_the_connection(serve, echo, protocol: bytes) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n" + GET)
    answer = await client.answer()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert await client.rest() == b""
    assert len(edge.records) == 1


async def test_a_client_that_is_gone_before_lingering_begins_is_no_fault(
    serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handle(_flow: Flow) -> Reply:
        raise GatewayError(ErrorCode.AUTH_ERROR, "no")

    def gone(_transport: object) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.write_eof", gone)
    edge = await serve(handle)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
    assert (await client.answer()).status == 401
    await asyncio.sleep(0.05)
    assert "connection_failed" not in capsys.readouterr().out
