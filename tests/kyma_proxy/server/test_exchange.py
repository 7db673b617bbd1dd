from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError, OutcomeUnknownError
from kyma_proxy.flow import ClientLeftError, Flow, Identity, Reply
from kyma_proxy.observe.endings import EndReason

GET = b"GET /a?secret=1 HTTP/1.1\r\nHost: h\r\n\r\n"


def raising(error: Exception):  # type: ignore[no-untyped-def]
    async def handle(flow: Flow) -> Reply:
        raise error

    return handle


async def test_a_plain_exchange_is_recorded_once(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        flow.identity = Identity("acct_1", "key_1")
        flow.facts["route"] = "/v1/audio/**"
        return Reply.json(b"{}")

    edge = await serve(handle)
    client = await edge.connect()
    for _ in range(3):
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 200
        assert "Date" in answer.headers
        assert "Connection" not in answer.headers
        assert answer.headers["x-should-retry"] == "false"
    assert len(edge.records) == 3
    record = edge.records[0]
    assert (record.method, record.path, record.route, record.status) == ("GET", "/a", "/v1/audio/**", 200)
    assert (record.ending.reason, record.identity) == (EndReason.COMPLETED, Identity("acct_1", "key_1"))
    assert (record.bytes_in, record.bytes_out) == (0, 2)
    assert 0 < record.duration_seconds < 5


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GatewayError(ErrorCode.INSUFFICIENT_CREDITS, "no"), EndReason.REFUSED),
        (GatewayError(ErrorCode.PROVIDER_ERROR, "no", should_retry=True), EndReason.UPSTREAM_FAILED),
        (GatewayError(ErrorCode.UPSTREAM_TIMEOUT, "no"), EndReason.TIMED_OUT),
        (GatewayError(ErrorCode.UNAVAILABLE, "no"), EndReason.UNAVAILABLE),
        (GatewayError(ErrorCode.OWNERSHIP_WRITE_FAILED, "no"), EndReason.UNAVAILABLE),
        (GatewayError(ErrorCode.INTERNAL_ERROR, "no"), EndReason.PLUGIN_CRASHED),
    ],
)
async def test_a_gateway_error_is_an_answer_like_any_other(serve, error: GatewayError, reason: EndReason) -> None:
    edge = await serve(raising(error))
    client = await edge.connect()
    for _ in range(2):
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == error.code.status
        assert answer.headers["x-should-retry"] == ("true" if error.should_retry else "false")
        assert json.loads(answer.body)["error"]["code"] == error.code.code
    assert {record.ending.reason for record in edge.records} == {reason}
    assert edge.records[0].error_code == error.code.code


@pytest.mark.parametrize("error", [RuntimeError("bug"), TimeoutError("bug"), ConnectionResetError("a database")])
async def test_a_fault_is_a_500_that_says_nothing(serve, error: Exception) -> None:
    edge = await serve(raising(error))
    answer = await edge.ask(GET)
    assert answer.status == 500
    assert json.loads(answer.body)["error"]["code"] == "internal_error"
    assert b"bug" not in answer.body
    assert answer.headers["x-request-id"] == edge.records[0].request_id
    assert edge.records[0].ending.reason is EndReason.PLUGIN_CRASHED


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OutcomeUnknownError(), EndReason.OUTCOME_UNKNOWN), (ClientLeftError(), EndReason.CLIENT_LEFT)],
)
async def test_where_nothing_may_be_said_the_connection_ends(serve, error: Exception, reason: EndReason) -> None:
    edge = await serve(raising(error))
    client = await edge.connect()
    await client.send(GET)
    assert await client.rest() == b""
    assert [(record.ending.reason, record.status) for record in edge.records] == [(reason, None)]


async def test_an_error_may_end_the_connection(serve) -> None:
    edge = await serve(raising(GatewayError(ErrorCode.INVALID_REQUEST, "no", close_connection=True)))
    client = await edge.connect()
    await client.send(GET)
    assert (await client.answer()).headers["Connection"] == "close"
    assert await client.rest() == b""


async def test_connection_close_of_the_client_is_honoured(serve, echo) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(GET[:-2] + b"Connection: close\r\n\r\n")
    assert (await client.answer()).headers["Connection"] == "close"
    assert await client.rest() == b""


async def test_an_answer_before_the_body_is_read_ends_the_connection(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        return Reply(200, CIMultiDict({"X": "origin"}), b"early", forwarded=True)

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
    answer = await client.answer()
    assert (answer.body, answer.headers["Connection"]) == (b"early", "close")
    await client.send(bytes(200000))
    assert await client.rest() == b""
    assert len(edge.records) == 1


@pytest.mark.parametrize("half", [False, True])
async def test_the_client_is_asked_whether_it_is_still_there(serve, handler_cancellation, half: bool) -> None:
    ask = asyncio.Event()
    said: list[bool] = []

    async def handle(flow: Flow) -> Reply:
        said.append(flow.client_connected())
        try:
            await ask.wait()
        finally:
            said.append(flow.client_connected())
        return Reply(200)

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(GET)
    await edge.until(lambda: said)
    if half:
        client.writer.write_eof()
    else:
        await client.close()
    await asyncio.sleep(0.05)
    ask.set()
    await edge.until(lambda: edge.records)
    assert said == [True, False]
    assert edge.records[0].ending.reason is EndReason.CLIENT_LEFT
    assert edge.records[0].status is None


async def test_a_leaver_is_seen_behind_a_body_that_nobody_reads(serve) -> None:
    ask = asyncio.Event()
    said: list[bool] = []

    async def handle(flow: Flow) -> Reply:
        await ask.wait()
        said.append(flow.client_connected())
        return Reply(200)

    edge = await serve(handle, handler_cancellation=False, read_buffer_bytes=1024)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n" + bytes(60_000))
    await edge.until(lambda: edge.listener.in_flight)
    client.writer.write_eof()
    await asyncio.sleep(0.1)
    ask.set()
    await edge.until(lambda: said)
    assert said == [False]


async def test_work_goes_on_without_its_client_unless_cancellation_is_on(serve, handler_cancellation: bool) -> None:
    finished: list[bool] = []

    async def handle(flow: Flow) -> Reply:
        await asyncio.sleep(0.2)
        finished.append(True)
        return Reply(200)

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(GET)
    await edge.until(lambda: edge.listener.in_flight)
    await client.close()
    await edge.until(lambda: edge.records)
    assert finished == ([] if handler_cancellation else [True])


async def test_a_plugin_may_give_the_flow_another_body(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        body = b"".join([chunk async for chunk in flow.body])
        flow.body = None  # type: ignore[assignment]
        return Reply(200, body=body)

    edge = await serve(handle)
    answer = await edge.ask(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab")
    assert answer.body == b"ab"
    assert edge.records[0].bytes_in == 2


async def test_curl_sees_413_without_sending_the_body(serve, tmp_path: Path) -> None:
    if (curl := shutil.which("curl")) is None:
        pytest.skip("curl is not installed")
    received: list[int] = []

    async def handle(flow: Flow) -> Reply:
        try:
            flow.body.narrow(1024)
        finally:
            received.append(flow.body.received_bytes)  # type: ignore[attr-defined]
        raise AssertionError

    edge = await serve(handle)
    upload = tmp_path / "big"
    upload.write_bytes(bytes(3_000_000))
    process = await asyncio.create_subprocess_exec(
        curl,
        "-sS",
        "--expect100-timeout",
        "5",
        "-H",
        "Expect: 100-continue",
        "-w",
        " %{http_code} %{size_upload}",
        "--data-binary",
        f"@{upload}",
        f"http://127.0.0.1:{edge.listener.port}/a",
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    body, status, uploaded = output.rsplit(b" ", 2)
    assert (status, uploaded) == (b"413", b"0")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert received == [0]
