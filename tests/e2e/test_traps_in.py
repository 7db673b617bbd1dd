"""One test for each way in which aiohttp's server goes wrong as a proxy's, with either handler cancellation."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.raw_edge import OK, PATH, UPLOAD, Edge, EdgeOptions, raw_edge, request, upload
from e2e_kit.wire import Wire
from kyma_proxy.database.pool import DatabaseTarget

QUICK = "head_timeout_seconds: 0.3, keepalive_timeout_seconds: 30"


@pytest.fixture(params=[False, True], ids=["cancellation-off", "cancellation-on"])
async def edge(request: pytest.FixtureRequest, database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[Edge]:
    options = EdgeOptions(server=QUICK, handler_cancellation=request.param)
    async with raw_edge(database_target, tmp_path, options) as running:
        yield running


async def sent(edge: Edge, data: bytes) -> Wire:
    wire = await edge.connect()
    await wire.send(data)
    return wire


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


async def test_trap_nobody_sends_100_continue(edge: Edge) -> None:
    wire = await sent(edge, upload(b"Content-Length: 2", b"Expect: 100-continue"))
    assert (await wire.head()).status == 100
    await wire.send(b"ok")
    assert (await wire.message()).head.status == 200
    key = b"Authorization: Bearer " + edge.api_key.encode()
    early = await edge.ask(
        *(b"Expect: 100-continue", b"Content-Length: 9999999", key), method=b"POST", target=b"/v1/audio/speech"
    )
    assert (early.head.status, code(early.body)) == (413, "invalid_request")


async def test_trap_the_server_inflates_a_gzip_body_and_leaves_its_header(edge: Edge) -> None:
    packed = gzip.compress(b"x" * 1000)
    await edge.ask(
        *(b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed)), method=b"POST", target=UPLOAD, body=packed
    )
    got = edge.origin.request
    assert (got.body, got.head.one(b"content-encoding")) == (packed, b"gzip")
    key = b"Authorization: Bearer " + edge.api_key.encode()
    bomb = gzip.compress(bytes(50_000_000))
    fields = (key, b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb), b"Content-Type: application/json")
    refused = await edge.ask(*fields, method=b"POST", target=b"/v1/audio/speech", body=bomb)
    assert refused.head.status == 413


async def test_trap_parse_errors_are_text_over_http_1_0(edge: Edge) -> None:
    answer = await (await sent(edge, b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n")).message()
    assert answer.head.first == b"HTTP/1.1 400 Bad Request"
    assert answer.head.one(b"content-type") == b"application/json"
    assert code(answer.body) == "invalid_request"


@pytest.mark.parametrize(
    "bad",
    [
        request(version=b"2.0"),
        request(b"Transfer-Encoding: chunked", method=b"POST", version=b"1.0") + b"0\r\n\r\n",
        request(b"Transfer-Encoding: gzip, chunked", method=b"POST") + b"0\r\n\r\n",
        request(method=b"CONNECT", target=b"h:80"),
        request(method=b"OPTIONS", target=b"*"),
        b"GET %s HTTP/1.1\r\n\r\n" % PATH,
        b"GET %s HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n" % PATH,
    ],
    ids=["HTTP/2.0", "coding on HTTP/1.0", "two codings", "CONNECT", "asterisk", "no Host", "two Hosts"],
)
async def test_trap_other_versions_codings_and_targets_pass(edge: Edge, bad: bytes) -> None:
    answer = await (await sent(edge, bad)).message()
    assert answer.head.first.startswith(b"HTTP/1.1 4")
    assert edge.origin.requests == []


async def test_trap_limits_on_the_head_break_answers_as_well(edge: Edge) -> None:
    for bad in (b"X: " + b"y" * 70_000, b"\r\n".join(b"X-%d: y" % number for number in range(600))):
        assert (await (await sent(edge, request(bad))).message()).head.status == 400
    long = b"X-Long: " + b"y" * 20_000
    many = b"\r\n".join(b"X-%d: y" % number for number in range(300))
    edge.origin.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n%s\r\n\r\nok" % (long, many))
    answer = await edge.ask()
    assert answer.head.one(b"x-long") == b"y" * 20_000
    assert answer.head.one(b"x-299") == b"y"


async def test_trap_headers_that_differ_only_in_case_are_lost(edge: Edge) -> None:
    edge.origin.answering(
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await edge.ask(b"X-B: 1", b"x-b: 2", b"X-B: 3")
    assert edge.origin.request.head.all(b"x-b") == [b"1", b"2", b"3"]
    assert answer.head.all(b"x-a") == [b"1", b"2"]
    assert answer.head.all(b"set-cookie") == [b"a", b"b"]
    for version in (b"0.9", b"2.0"):
        assert (await (await sent(edge, request(version=version))).rest()).startswith((b"HTTP/1.1 4", b""))


async def test_trap_there_is_no_head_timeout(edge: Edge) -> None:
    wire = await sent(edge, b"GET /v1/audio/voices HTTP/1.1\r\nHost: ")
    answer = asyncio.ensure_future(wire.rest())
    async with asyncio.timeout(5):
        while not answer.done():
            wire.writer.write(b"h")
            await asyncio.sleep(0.02)
    said = await answer
    assert said.startswith(b"HTTP/1.1 408 ")
    assert edge.origin.requests == []


async def test_trap_stopping_closes_every_connection(edge: Edge) -> None:
    released = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.message()
        await released.wait()
        await wire.send(OK)

    edge.origin.script = slow
    idle = await edge.connect()
    busy = await sent(edge, upload(b"Content-Length: 4") + b"so")
    await asyncio.sleep(0.1)
    stopping = asyncio.ensure_future(edge.application.stop())
    assert await idle.ended() == "closed"
    await busy.send(b"me")
    released.set()
    answer = await busy.message()
    assert (answer.body, answer.head.one(b"connection")) == (b"ok", b"close")
    await stopping


async def test_trap_the_c_writer_drops_what_is_not_utf_8(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nContent-Length: 0\r\n\r\n")
    answer = await edge.ask(b"X-Name: caf\xe9")
    assert edge.origin.request.head.one(b"x-name") == b"caf\xe9"
    assert answer.head.one(b"x-name") == b"caf\xe9"


async def test_trap_prepare_headers_adds_and_deletes(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: x\r\n\r\n")
    answer = await edge.ask()
    assert answer.head.one(b"content-length") == b"77"
    for added in (b"server", b"date", b"content-type"):
        assert answer.head.all(added) == []


async def test_trap_an_answer_short_of_its_length_leaves_the_client_hanging(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nsome")

    async def short(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")

    edge.origin.script = short
    assert await (await sent(edge, request())).ended() == "reset"


async def test_trap_abort_sends_a_plain_fin(edge: Edge) -> None:
    async def cut(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
        await asyncio.sleep(0.1)
        wire.reset()

    edge.origin.script = cut
    assert await (await sent(edge, request(version=b"1.0"))).ended() == "reset"


async def test_trap_a_leaver_is_not_noticed_while_reading_is_paused(edge: Edge) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def never_reads(wire: Wire) -> None:
        await wire.head()
        arrived.set()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await wire.ended()
        gone.set()

    edge.origin.script = never_reads
    wire = await sent(edge, upload(b"Content-Length: 50000000") + bytes(4_000_000))
    await arrived.wait()
    wire.reset()
    async with asyncio.timeout(5):
        await gone.wait()


async def test_trap_the_test_server_cancels_handlers_and_production_does_not(edge: Edge, request: Any) -> None:
    """Set explicitly in both: every test of this file runs with either."""
    wanted = request.node.callspec.params["edge"]
    assert edge.application._rehearsal.handler_cancellation is wanted
    assert (await edge.ask()).body == b"ok"


async def test_trap_unknown_method_tokens_are_400_in_the_c_parser(edge: Edge) -> None:
    assert (await (await sent(edge, request(method=b"FROBNICATE"))).message()).head.status == 400
    assert (await edge.ask(method=b"PROPFIND")).head.status == 200
    assert edge.origin.request.head.first.startswith(b"PROPFIND ")
