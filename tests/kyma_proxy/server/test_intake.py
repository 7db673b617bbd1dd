from __future__ import annotations

import json
import re

import pytest

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.observe.endings import EndReason
from kyma_proxy.server.intake import new_request_id


async def describe(flow: Flow) -> Reply:
    target = flow.target
    told = {
        "id": flow.id,
        "method": flow.method,
        "raw_path": target.raw_path,
        "raw_query": target.raw_query,
        "path": flow.path,
        "length": flow.body.content_length,
        "address": flow.client_address,
        "scheme": flow.scheme,
        "host": flow.host,
        "names": [name.decode() for name, _ in flow.raw_headers],
        "connected": flow.client_connected(),
        "wants_websocket": flow.wants_websocket,
    }
    return Reply.json(json.dumps(told).encode())


async def test_a_request_becomes_a_flow(serve) -> None:
    edge = await serve(describe)
    answer = await edge.ask(b"PROPFIND /v1//a%2dudio/;x?q=%zz? HTTP/1.1\r\nHost: h:1\r\nX-a: 1\r\nx-A: 2\r\n\r\n")
    told = json.loads(answer.body)
    assert told["method"] == "PROPFIND"
    assert told["raw_path"] == "/v1//a%2dudio/;x"
    assert told["raw_query"] == "q=%zz?"
    assert told["path"] == "/v1/a-udio"
    assert told["length"] == 0
    assert told["address"] == "127.0.0.1"
    assert (told["scheme"], told["host"]) == ("http", "h:1")
    assert told["names"] == ["Host", "X-a", "x-A"]
    assert told["connected"]
    assert answer.headers["x-request-id"] == told["id"]


@pytest.mark.parametrize(
    ("target", "raw_path", "raw_query"),
    [
        (b"/a?", "/a", ""),
        (b"/a", "/a", None),
        (b"http://evil.example/v1/x?y", "/v1/x", "y"),
        (b"HTTPS://evil.example", "/", None),
        (b"http://evil.example?y", "/", "y"),
        (b"//evil.example/x", "//evil.example/x", None),
    ],
)
async def test_the_target_in_its_forms(serve, target: bytes, raw_path: str, raw_query: str | None) -> None:
    edge = await serve(describe)
    told = json.loads((await edge.ask(b"GET " + target + b" HTTP/1.1\r\nHost: mine\r\n\r\n")).body)
    assert (told["raw_path"], told["raw_query"], told["host"]) == (raw_path, raw_query, "mine")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /a HTTP/2.0\r\nHost: h\r\n", 400),
        (b"GET /a HTTP/1.2\r\nHost: h\r\n", 400),
        (b"GET /a HTTP/0.9\r\nHost: h\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 400),
        (b"POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\nContent-Length: 1\r\n", 400),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n", 400),
        (b"TRACE /a HTTP/1.1\r\nHost: h\r\n", 405),
        (b"GET /a#b HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /a?b#c HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /a?\xe9 HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET ftp://h/a HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET http://u:p@h/a HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /a/../b HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /a%00 HTTP/1.1\r\nHost: h\r\n", 400),
        (b"GET /a HTTP/1.1\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost:\r\n", 400),
        (b"GET /a HTTP/1.0\r\nHost:\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a,b\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: h:123456\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n", 400),
    ],
)
async def test_what_has_two_readings_is_refused(serve, head: bytes, status: int) -> None:
    edge = await serve(describe)
    client = await edge.connect()
    await client.send(head + b"\r\n")
    answer = await client.answer()
    assert answer.status == status
    assert answer.line.startswith(b"HTTP/1.1 ")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"]
    assert set(json.loads(answer.body)["error"]) == {"message", "type", "code"}
    assert ("Allow" in answer.headers) == (status == 405)
    if b"Host" in head and b"/../" not in head and b"%00" not in head:
        assert answer.headers["Connection"] == "close"
        assert await client.rest() == b""
    assert [record.ending.reason for record in edge.records] == [EndReason.MALFORMED]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([b"abc.DEF_1-2"], True),
        ([b"a" * 128], True),
        ([b"a" * 129], False),
        ([b"a b"], False),
        ([b"caf\xe9"], False),
        ([b"one", b"two"], False),
        ([], False),
    ],
)
async def test_a_well_formed_request_id_is_kept(serve, sent: list[bytes], kept: bool) -> None:
    edge = await serve(describe)
    lines = b"".join(b"X-Request-Id: " + value + b"\r\n" for value in sent)
    answer = await edge.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")
    request_id = answer.headers["x-request-id"]
    assert (sent[:1] == [request_id.encode()]) if kept else re.fullmatch(r"req_[0-9a-f]{24}", request_id)


def test_request_ids_differ() -> None:
    assert new_request_id() != new_request_id()


async def test_an_expectation_of_http_1_0_is_ignored(serve) -> None:
    edge = await serve(describe)
    answer = await edge.ask(b"GET /a HTTP/1.0\r\nExpect: miracles\r\n\r\n")
    assert answer.status == 200
    assert answer.headers["Connection"] == "close"


UPGRADE = b"Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"


@pytest.mark.parametrize(
    ("head", "wants"),
    [
        (b"GET /a HTTP/1.1\r\n" + UPGRADE, True),
        (b"GET /a HTTP/1.1\r\nContent-Length: 0\r\n" + UPGRADE, True),
        (b"GET /a HTTP/1.0\r\n" + UPGRADE, False),
        (b"HEAD /a HTTP/1.1\r\n" + UPGRADE, False),
        (b"POST /a HTTP/1.1\r\n" + UPGRADE, False),
        (b"GET /a HTTP/1.1\r\nUpgrade: h2c\r\n" + UPGRADE, False),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n", False),
    ],
)
async def test_who_wants_a_websocket(serve, head: bytes, wants: bool) -> None:
    edge = await serve(describe)
    answer = await edge.ask(head + b"\r\n", "HEAD" if head.startswith(b"HEAD") else "GET")
    assert answer.status == 200
    if answer.body:
        assert json.loads(answer.body)["wants_websocket"] is wants


@pytest.mark.parametrize("framing", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
async def test_a_websocket_does_not_begin_with_a_body(serve, framing: bytes) -> None:
    edge = await serve(describe)
    client = await edge.connect()
    await client.send(b"GET /a HTTP/1.1\r\n" + UPGRADE + framing)
    answer = await client.answer()
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "invalid_request")
    assert await client.rest() == b""
