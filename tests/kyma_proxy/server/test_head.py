from __future__ import annotations

import json

import pytest
from aiohttp import HttpVersion10, HttpVersion11
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Reply
from kyma_proxy.server.head import Framing, error_reply, frame, reply_head, sign


class Stream:
    """A stream that is never read here."""

    def __aiter__(self):  # type: ignore[no-untyped-def]
        raise AssertionError

    async def aclose(self) -> None: ...


def forwarded(status: int = 200, body: object = b"", **headers: str) -> Reply:
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, CIMultiDict(pairs), body, forwarded=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "method", "version", "framing"),
    [
        (Reply(200, body=b"abc"), "GET", HttpVersion11, Framing(True, 3, False, False)),
        (Reply(200), "GET", HttpVersion10, Framing(True, 0, False, False)),
        (Reply(200, body=b"abc"), "HEAD", HttpVersion11, Framing(False, 3, False, False)),
        (Reply(204), "GET", HttpVersion11, Framing(False, None, False, False)),
        (forwarded(304, Content_Length="7"), "GET", HttpVersion11, Framing(False, None, False, False)),
        (forwarded(200, Content_Length="7"), "HEAD", HttpVersion11, Framing(False, None, False, False)),
        (forwarded(200, b"", Content_Length="7"), "GET", HttpVersion11, Framing(True, 0, False, False)),
        (forwarded(200, Stream(), Content_Length="7"), "GET", HttpVersion11, Framing(True, 7, False, False)),
        (forwarded(200, Stream(), Content_Length="x"), "GET", HttpVersion11, Framing(True, None, True, False)),
        (forwarded(200, Stream()), "GET", HttpVersion11, Framing(True, None, True, False)),
        (forwarded(200, Stream()), "GET", HttpVersion10, Framing(True, None, False, True)),
    ],
)
def test_framing(reply: Reply, method: str, version: object, framing: Framing) -> None:
    assert frame(reply, method, version, close=False) == framing  # type: ignore[arg-type]


def test_a_forwarded_head_goes_out_as_it_came_less_its_own_framing() -> None:
    reply = forwarded(
        200, Stream(), X_Name="caf\udce9", Connection="x", Keep_Alive="1", Transfer_Encoding="gzip", Server="origin"
    )
    reply.headers.add("x-name", "again")
    reply.phrase = "Fine"
    head = reply_head(reply, frame(reply, "GET", HttpVersion11, False), HttpVersion11, True)
    assert head == (
        b"HTTP/1.1 200 Fine\r\nX-Name: caf\xe9\r\nServer: origin\r\nx-name: again\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def test_content_length_stays_on_304_and_on_head() -> None:
    for status, method in ((304, "GET"), (200, "HEAD")):
        reply = forwarded(status, Content_Length="7")
        head = reply_head(reply, frame(reply, method, HttpVersion11, False), HttpVersion11, True)
        assert b"\r\nContent-Length: 7\r\n" in head


def test_http_1_0_is_told_that_the_connection_stays() -> None:
    reply = Reply(200, body=b"x")
    framing = frame(reply, "GET", HttpVersion10, close=False)
    assert b"\r\nConnection: keep-alive\r\n" in reply_head(reply, framing, HttpVersion10, True)
    closing = frame(reply, "GET", HttpVersion10, close=True)
    assert b"\r\nConnection: close\r\n" in reply_head(reply, closing, HttpVersion10, True)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\x00b", "a\x7f"])
def test_a_control_character_cannot_forge_a_header(value: str) -> None:
    reply = Reply(200, CIMultiDict({"X-Name": value}))
    with pytest.raises(ValueError, match="control character"):
        reply_head(reply, frame(reply, "GET", HttpVersion11, False), HttpVersion11, True)


def test_an_error_is_an_envelope_with_its_headers() -> None:
    reply = error_reply(GatewayError(ErrorCode.METHOD_NOT_ALLOWED, "no", headers={"Allow": "GET"}, should_retry=True))
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET"
    assert reply.headers["x-should-retry"] == "true"
    assert isinstance(reply.body, bytes)
    assert json.loads(reply.body)["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "code": "method_not_allowed",
    }


def test_only_our_own_replies_are_signed() -> None:
    ours, theirs, error = Reply(200), forwarded(500), Reply(418)
    for reply in (ours, theirs, error):
        sign(reply, "req_1")
    assert set(ours.headers) == {"x-request-id", "Date", "x-should-retry"}
    assert not theirs.headers
    assert error.headers["x-should-retry"] == "false"
