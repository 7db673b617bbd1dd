"""What comes back on a forwarded route is the origin's answer, byte for byte, or no answer of its own at all."""

from __future__ import annotations

import gzip
import json

import pytest

from e2e_kit.raw_edge import HOP_BY_HOP, OK, Edge, answer, request
from e2e_kit.wire import Field, Wire


async def test_head_is_answered_as_the_origin_answers_it(edge: Edge) -> None:
    edge.origin.answering(answer(b"Content-Length: 4711", b"ETag: x"))
    wire = await edge.connect()
    for _ in range(2):  # the connection lives on: nothing was read as a body
        await wire.send(request(method=b"HEAD"))
        said = await wire.message(of_head=True)
        assert said.head.fields == ((b"Content-Length", b"4711"), (b"ETag", b"x"))
    assert edge.origin.connections == 1


async def test_hop_by_hop_fields_of_an_answer_stay_here(edge: Edge) -> None:
    edge.origin.answering(
        answer(b"Connection: X-named", b"Content-Length: 2", b"X-Kept: 1", *HOP_BY_HOP, body=b"ok"),
    )
    assert (await edge.ask()).head.fields == ((b"Content-Length", b"2"), (b"X-Kept", b"1"))


async def test_an_answer_s_head_is_the_origin_s(edge: Edge) -> None:
    fields = [
        (b"server", b"theirs/1"),
        (b"DATE", b"Mon, 01 Jan 2001 00:00:00 GMT"),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2"),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"X-Empty", b""),
        (b"X-Latin", b"caf\xe9 \xff"),
        (b"Content-Type", b"audio/x-odd; charset=\xe9"),
        (b"Content-Length", b"2"),
        (b"Link", b"<broken"),
        (b"WWW-Authenticate", b"Bearer"),
        (b"x-request-id", b"the origin's own"),
        (b"Via", b"1.1 theirs"),
        (b"X-Forwarded-For", b"kept in answers"),
        (b"Alt-Svc", b'h3=":443"'),
        (b"X-Long", b"v" * 20_000),
    ]
    edge.origin.answering(answer(*(b"%s: %s" % field for field in fields), body=b"ok"))
    assert (await edge.ask()).head.fields == tuple(fields)


async def test_nothing_is_added_to_an_answer(edge: Edge) -> None:
    edge.origin.answering(OK)
    said = await edge.ask()
    assert said.head.fields == ((b"Content-Length", b"2"),)


STATUS_LINES = [
    b"200 ",
    b"200",
    b"299 All is well",
    b"404 caf\xe9",
    b"503 No: not-now (later)",
    b"599 x",
    b"418 \xf0\x9f\xab\x96",
]


@pytest.mark.parametrize("status", STATUS_LINES, ids=[repr(status)[2:-1] for status in STATUS_LINES])
async def test_status_and_reason_go_on(edge: Edge, status: bytes) -> None:
    edge.origin.answering(answer(b"Content-Length: 2", status=status, body=b"ok"))
    said = await edge.ask()
    assert (said.head.first, said.body) == (b"HTTP/1.1 " + (status if b" " in status else status + b" "), b"ok")


PAGE = b"<html><body>\xe9 Bad gateway of theirs</body></html>\n"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 413, 429, 500, 501, 502, 503, 504])
async def test_errors_of_the_origin_are_its_own(edge: Edge, status: int) -> None:
    lines = (b"Content-Type: text/html", b"Content-Length: %d" % len(PAGE), b"Retry-After: 7")
    edge.origin.answering(answer(*lines, status=b"%d Theirs" % status, body=PAGE))
    said = await edge.ask()
    assert (said.head.status, said.body) == (status, PAGE)
    assert said.head.names == [b"Content-Type", b"Content-Length", b"Retry-After"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_the_client_s_to_follow(edge: Edge, status: int) -> None:
    location = b"http://127.0.0.1:%d/v1/audio/elsewhere" % edge.origin.port
    edge.origin.answering(answer(b"Location: " + location, b"Content-Length: 2", status=b"%d Go" % status, body=b"go"))
    said = await edge.ask(b"Content-Length: 1", method=b"POST", body=b"x")
    assert (said.head.status, said.head.one(b"location"), said.body) == (status, location, b"go")
    assert len(edge.origin.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"X: 1", status=b"204 No Content"),
        answer(b"ETag: x", status=b"304 Not Modified"),
        answer(b"ETag: x", b"Content-Length: 99", status=b"304 Not Modified"),
        answer(b"Content-Length: 0", status=b"205 Reset Content"),
    ],
    ids=["204", "304", "304-with-length", "205"],
)
async def test_answers_without_a_body_leave_the_connection_usable(edge: Edge, raw: bytes) -> None:
    edge.origin.answering(raw, OK)
    wire = await edge.connect()
    await wire.send(request())
    head = await wire.head()
    assert b"\r\n".join([head.first, *(b"%s: %s" % field for field in head.fields)]) + b"\r\n\r\n" == raw
    await wire.send(request())
    assert (await wire.message()).body == b"ok"
    assert edge.origin.connections == 1


@pytest.mark.parametrize("interim", [b"102 Processing", b"103 Early Hints", b"100 Continue", b"199 Odd"])
async def test_interim_answers_are_dropped_and_the_final_one_goes_on(edge: Edge, interim: bytes) -> None:
    early = answer(b"Link: </a>; rel=preload", status=interim)
    edge.origin.answering(early + early + answer(b"Content-Length: 2", status=b"201 Made", body=b"ok"))
    said = await edge.ask()
    assert (said.head.first, said.head.fields, said.body) == (b"HTTP/1.1 201 Made", ((b"Content-Length", b"2"),), b"ok")


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"nonsense"])
async def test_a_packed_answer_is_not_unpacked(edge: Edge, coding: bytes) -> None:
    packed = gzip.compress(b"sound" * 1000)  # the coding's name need not even be true
    lines = (b"Content-Encoding: " + coding, b"Content-Length: %d" % len(packed))
    edge.origin.answering(answer(*lines, body=packed))
    said = await edge.ask()
    assert said.body == packed
    assert [b"%s: %s" % field for field in said.head.fields] == list(lines)


async def test_a_chunked_answer_stays_chunked_and_its_trailers_are_dropped(edge: Edge) -> None:
    body = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
    edge.origin.answering(answer(b"Transfer-Encoding: chunked", b"Trailer: X-Sum", body=body))
    wire = await edge.connect()
    for _ in range(2):
        await wire.send(request())
        said = await wire.message()
        assert (said.head.fields, said.body) == (((b"Transfer-Encoding", b"chunked"),), b"abcde")
    assert edge.origin.connections == 1


async def once(edge: Edge, raw: bytes) -> None:
    """Have the origin answer one request a connection and close."""

    async def serve(wire: Wire) -> None:
        edge.origin.requests.append(await wire.message())
        await wire.send(raw)

    edge.origin.script = serve


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ((b"Content-Length: 2",), ((b"Content-Length", b"2"),)),
        ((b"X: 1",), ((b"X", b"1"), (b"Transfer-Encoding", b"chunked"))),
    ],
    ids=["length", "until-close"],
)
async def test_an_origin_of_http_1_0(edge: Edge, lines: tuple[bytes, ...], fields: tuple[Field, ...]) -> None:
    await once(edge, answer(*lines, body=b"ok", version=b"1.0"))
    wire = await edge.connect()
    for _ in range(2):
        await wire.send(request())
        said = await wire.message()
        assert (said.head.first, said.head.fields, said.body) == (b"HTTP/1.1 200 OK", fields, b"ok")
    assert edge.origin.connections == 2


BROKEN_ANSWERS = {
    "packed for the way": answer(b"Transfer-Encoding: gzip, chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
    "packed until the end": answer(b"Transfer-Encoding: gzip", body=b"ok"),
    "two lengths": answer(b"Content-Length: 2", b"Content-Length: 3", body=b"okk"),
    "both framings": answer(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
    "a signed length": answer(b"Content-Length: +2", body=b"ok"),
    "no HTTP": b"220 smtp.example ESMTP\r\n\r\n",
    "a control character": answer(b"X-Odd: a\x01b", b"Content-Length: 2", body=b"ok"),
    "a NUL": answer(b"X-Odd: a\0b", b"Content-Length: 2", body=b"ok"),
    "a bare CR": answer(b"X-Odd: a\rX-Forged: 1", b"Content-Length: 2", body=b"ok"),
    "protocols switched": answer(b"Upgrade: h2c", b"Connection: Upgrade", status=b"101 Switching Protocols"),
    "HTTP/2": answer(b"Content-Length: 2", body=b"ok", version=b"2"),
}


@pytest.mark.parametrize("raw", BROKEN_ANSWERS.values(), ids=list(BROKEN_ANSWERS))
async def test_an_answer_that_has_no_one_reading_is_a_502(edge: Edge, raw: bytes) -> None:
    await once(edge, raw)
    said = await edge.ask()
    assert (said.head.status, json.loads(said.body)["error"]["code"]) == (502, "upstream_unreachable")
    edge.origin.answering(OK)
    assert (await edge.ask()).body == b"ok"


async def test_a_folded_field_of_an_answer_becomes_one_line(edge: Edge) -> None:
    await once(edge, answer(b"X-Folded: a\r\n b", b"Content-Length: 2", body=b"ok"))
    said = await edge.ask()
    assert said.head.fields == ((b"X-Folded", b"a b"), (b"Content-Length", b"2"))
