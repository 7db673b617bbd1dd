"""What a forwarded route changes, and that it changes nothing else: bytes on raw sockets on both sides."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest

from e2e_kit.raw_edge import HOP_BY_HOP, OK, PATH, Edge, OpenEdge, answer, request
from e2e_kit.wire import Field

ADDED = (b"X-Request-Id", b"X-Forwarded-Proto", b"X-Forwarded-For", b"X-Forwarded-Host", b"Via", b"traceparent")
"""What the gateway adds to a request, in this order, behind what the client sent."""


def passed_on(edge: Edge) -> list[Field]:
    """The fields that reached the origin, less `Host` in front and what the gateway adds behind."""
    fields = list(edge.origin.request.head.fields)
    assert fields.pop(0) == (b"Host", b"127.0.0.1:%d" % edge.origin.port)
    return [field for field in fields if field[0] not in ADDED]


METHODS = b"""
    GET POST PUT PATCH DELETE OPTIONS QUERY SEARCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT MKACTIVITY
    CHECKOUT MERGE NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE LINK UNLINK MKCALENDAR BIND REBIND UNBIND ACL M-SEARCH SOURCE
"""


@pytest.mark.parametrize("with_body", [False, True], ids=["bodiless", "with-body"])
async def test_every_method_goes_on(edge: Edge, with_body: bool) -> None:
    fields, body = ((b"Content-Length: 3",), b"abc") if with_body else ((), b"")
    for method in METHODS.split():
        assert (await edge.ask(*fields, method=method, body=body)).body == b"ok"
    heads = [(message.head.first, message.body) for message in edge.origin.requests]
    assert heads == [(b"%s %s HTTP/1.1" % (method, PATH), body) for method in METHODS.split()]


TARGETS = [
    b"/v1/audio/voices?",
    b"/v1/audio/voices??",
    b"/v1/audio/voices?a=1&a=2&b",
    b'/v1/audio/voices?q=%32+%2B+%7e~;x=[1]|{}^`"<>\\',
    b"/v1/audio/voices?next=http://other/?x=1",
    b"/v1/audio/%76oices/%7e/~",
    b"/v1/audio/a%2Fb%2fc",
    b"/v1/audio/a;b=c;d",
    b"/v1/audio/a+b@c:d,e!$&'()*=",
    b"/v1/audio//double///slash//",
    b"/v1//audio/voices/",
    b"//v1/audio/voices",
    b"/v1/audio/%C3%A9/%e9/%FF",
    b'/v1/audio/[a]|{b}^`"<c>',
    b"/v1/audio/x?100%&%zz&%",
    b"/v1/audio/" + b"x" * 7000,
]


@pytest.mark.parametrize("target", TARGETS, ids=[target[:40].decode() for target in TARGETS])
async def test_the_target_goes_on_byte_for_byte(edge: Edge, target: bytes) -> None:
    await edge.ask(target=target)
    assert edge.origin.request.head.first == b"GET %s HTTP/1.1" % target


async def test_the_absolute_form_becomes_the_plain_one(edge: Edge) -> None:
    await edge.ask(target=b"http://elsewhere:99/v1/audio/a%2Fb?")
    assert edge.origin.request.head.first == b"GET /v1/audio/a%2Fb? HTTP/1.1"
    assert edge.origin.request.head.one(b"host") == b"127.0.0.1:%d" % edge.origin.port


async def test_the_base_url_s_path_stands_in_front(open_edge: OpenEdge) -> None:
    edge = await open_edge(base_path="/deep%20er/")
    await edge.ask(target=b"/v1/audio/x?y")
    assert edge.origin.request.head.first == b"GET /deep%20er/v1/audio/x?y HTTP/1.1"


async def test_a_request_s_fields_keep_order_spelling_and_bytes(edge: Edge) -> None:
    fields = [
        (b"x-first", b"1"),
        (b"ACCEPT", b"*/*"),
        (b"X-Tag", b"one"),
        (b"Cookie", b"a=b; c=d"),
        (b"x-tag", b"two"),
        (b"X-TAG", b"three"),
        (b"X-Tag", b"one"),
        (b"cookie", b"e=f"),
        (b"X-Empty", b""),
        (b"X-Latin", b"caf\xe9 \xff\x80"),
        (b"X-Utf8", "日本語".encode()),
        (b"X-Inner", b"a \t b , c"),
        (b"Forwarded", b"for=192.0.2.1"),
        (b"Via", b"1.0 fred"),
        (b"Accept-Encoding", b"br;q=1.0, gzip"),
        (b"Range", b"bytes=0-3"),
        (b"If-None-Match", b'W/"x"'),
        (b"!#$%&'*+-.^_`|~09az", b"every token character"),
        (b"X-Long", b"v" * 8000),
        (b"tracestate", b"a=1"),
        (b"Priority", b"u=1"),
    ]
    await edge.ask(*(b"%s: %s" % field for field in fields))
    sent = [field for field in fields if field[0] != b"Via"]
    assert passed_on(edge) == sent
    assert edge.origin.request.head.all(b"via") == [b"1.0 fred", b"1.1 kyma-proxy"]


async def test_the_gateway_adds_exactly_what_it_says(edge: Edge) -> None:
    await edge.ask()
    head = edge.origin.request.head
    assert head.names == [b"Host", *ADDED]
    assert head.one(b"x-forwarded-proto") == b"http"
    assert head.one(b"x-forwarded-for") == b"127.0.0.1"
    assert head.one(b"x-forwarded-host") == b"h"
    assert re.fullmatch(rb"req_[0-9a-f]{24}", head.one(b"x-request-id") or b"")
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", head.one(b"traceparent") or b"")


async def test_a_trace_goes_on_and_each_new_one_differs(edge: Edge) -> None:
    theirs = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await edge.ask(b"Traceparent: " + theirs)
    await edge.ask()
    await edge.ask()
    first, *made = [message.head.all(b"traceparent") for message in edge.origin.requests]
    assert first == [theirs]
    assert len({value for (value,) in made}) == 2


@pytest.mark.parametrize("sent", [b"abc", b"A-b_c.9", b"x" * 128, b"req_0123"])
async def test_a_well_formed_request_id_is_kept(edge: Edge, sent: bytes) -> None:
    await edge.ask(b"x-request-id: " + sent)
    assert edge.origin.request.head.one(b"x-request-id") == sent


@pytest.mark.parametrize("sent", [b"", b"x" * 129, b"a b", b"a,b", b'"a"', b"caf\xe9", b"a/b", b"<script>"])
async def test_any_other_request_id_is_replaced(edge: Edge, sent: bytes) -> None:
    await edge.ask(b"x-request-id: " + sent)
    assert re.fullmatch(rb"req_[0-9a-f]{24}", edge.origin.request.head.one(b"x-request-id") or b"")


async def test_two_request_ids_are_none(edge: Edge) -> None:
    await edge.ask(b"x-request-id: a", b"X-Request-ID: b")
    assert (edge.origin.request.head.one(b"x-request-id") or b"").startswith(b"req_")


async def test_hop_by_hop_fields_of_a_request_stay_here(edge: Edge) -> None:
    await edge.ask(
        b"Connection: x-NAMED , keep-alive", b"X-Kept: 1", *HOP_BY_HOP, b"connection: X-Other", b"X-Other: 1"
    )
    assert passed_on(edge) == [(b"X-Kept", b"1")]


@pytest.mark.parametrize(
    "named", [b"content-length", b"host", b"x-forwarded-for", b"x-request-id", b"via, traceparent"]
)
async def test_connection_cannot_take_away_what_a_request_rests_on(edge: Edge, named: bytes) -> None:
    await edge.ask(b"Connection: " + named, b"Content-Length: 3", method=b"POST", body=b"abc")
    assert edge.origin.request.body == b"abc"
    assert set(edge.origin.request.head.names) == {b"Host", b"Content-Length", *ADDED}


async def test_a_packed_upload_is_not_unpacked(edge: Edge) -> None:
    packed = gzip.compress(b"sound" * 1000)
    fields = (b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed), b"Content-Type: a/b")
    await edge.ask(*fields, method=b"POST", body=packed)
    assert edge.origin.request.body == packed
    assert [b"%s: %s" % field for field in passed_on(edge)] == list(fields)


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length", b"CONTENT-LENGTH"])
async def test_a_length_keeps_its_place_and_spelling(edge: Edge, name: bytes) -> None:
    await edge.ask(b"A: 1", name + b": 3", b"B: 2", method=b"PUT", body=b"\0\xff\r")
    assert passed_on(edge) == [(b"A", b"1"), (name, b"3"), (b"B", b"2")]
    assert edge.origin.request.body == b"\0\xff\r"


async def test_a_chunked_upload_stays_chunked_and_its_trailers_are_dropped(edge: Edge) -> None:
    body = b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    await edge.ask(b"Trailer: X-Sum", b"Transfer-Encoding: chunked", method=b"POST", body=body)
    assert edge.origin.request.body == b"abcde"
    assert passed_on(edge) == [(b"Transfer-Encoding", b"chunked")]
    assert edge.origin.request.head.one(b"x-forwarded-for") == b"127.0.0.1"


async def test_a_client_of_http_1_0(edge: Edge) -> None:
    edge.origin.answering(OK, answer(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"))
    wire = await edge.connect()
    await wire.send(request(b"Connection: keep-alive", version=b"1.0"))
    said = await wire.message()
    assert (said.body, said.head.one(b"connection")) == (b"ok", b"keep-alive")
    await wire.send(request(b"Connection: keep-alive", version=b"1.0"))
    said = await wire.message()  # no chunks for it: the end of the connection ends the body
    assert (said.body, said.head.fields) == (b"ok", ((b"Connection", b"close"),))
    assert {message.head.first for message in edge.origin.requests} == {b"GET %s HTTP/1.1" % PATH}


async def test_a_client_of_http_1_0_without_a_host(edge: Edge) -> None:
    wire = await edge.connect()
    await wire.send(b"GET %s HTTP/1.0\r\n\r\n" % PATH)
    assert (await wire.message()).body == b"ok"
    names = [name for name in ADDED if name != b"X-Forwarded-Host"]
    assert edge.origin.request.head.names == [b"Host", *names]


async def test_the_client_s_credentials_pass_and_are_the_only_ones(edge: Edge) -> None:
    sent = (b"authorization: Bearer theirs", b"x-api-key: theirs too")
    await edge.ask(*sent)
    assert [b"%s: %s" % field for field in passed_on(edge)] == list(sent)


@pytest.mark.parametrize(
    "sent", [(), (b"authorization: Bearer theirs", b"AUTHORIZATION: Basic x")], ids=["none", "two"]
)
async def test_replaced_credentials_are_the_operator_s_alone(open_edge: OpenEdge, sent: tuple[bytes, ...]) -> None:
    edge = await open_edge(origin="authorization: replace, api_key: sk-operators")
    await edge.ask(*sent, b"Connection: authorization")
    assert edge.origin.request.head.all(b"authorization") == [b"Bearer sk-operators"]


async def test_credentials_never_reach_the_provider(world: Any) -> None:
    speech = {"model": "minimax-speech-turbo", "voice": "English_Graceful_Lady", "input": "Hello."}
    headers = {
        "Authorization": f"Bearer {world.api_key}",
        "Cookie": "secret=1",
        "X-Api-Key": "theirs",
        "X-Forwarded-For": "6.6.6.6",
        "X-Request-Id": "theirs",
    }
    assert (await world.request("POST", "/v1/audio/speech?secret=2", json=speech, headers=headers)).status == 200
    (call,) = [call for call in world.minimax.calls if call.path == "/v1/t2a_v2"]
    assert not {name.lower() for name in call.headers} & {"cookie", "x-api-key", "x-forwarded-for"}
    assert world.api_key not in repr(call)
    assert "secret" not in repr(call)


SPOOFED = (
    b"X-Forwarded-For: 6.6.6.6, 7.7.7.7",
    b"x-forwarded-for: 8.8.8.8",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil.example",
    b"X-Forwarded-Prefix: /evil",
)


async def test_a_stranger_s_word_on_where_it_comes_from_is_replaced(edge: Edge) -> None:
    await edge.ask(*SPOOFED)
    head = edge.origin.request.head
    assert head.names == [b"Host", *ADDED]
    assert (head.one(b"x-forwarded-for"), head.one(b"x-forwarded-proto")) == (b"127.0.0.1", b"http")
    assert head.one(b"x-forwarded-host") == b"h"


TRUSTED = {"server": 'trusted_proxies: ["127.0.0.0/8", "10.0.0.0/8"]'}


async def test_a_trusted_proxy_s_word_goes_on_with_its_own_address_behind(open_edge: OpenEdge) -> None:
    edge = await open_edge(**TRUSTED)
    await edge.ask(*SPOOFED)
    head = edge.origin.request.head
    assert head.all(b"x-forwarded-for") == [b"6.6.6.6, 7.7.7.7, 8.8.8.8, 127.0.0.1"]
    assert (head.one(b"x-forwarded-proto"), head.one(b"x-forwarded-host")) == (b"https", b"evil.example")
    assert head.all(b"x-forwarded-prefix") == []


async def test_a_trusted_proxy_that_says_nothing_is_the_client(open_edge: OpenEdge) -> None:
    edge = await open_edge(**TRUSTED)
    await edge.ask()
    assert edge.origin.request.head.all(b"x-forwarded-for") == [b"127.0.0.1"]
