"""The head of an answer: how its body is framed, and its bytes. Pure functions.

aiohttp's own response classes add Server, Date and Content-Type, drop Content-Length on 304 and lose bytes that are
not UTF-8; a forwarded head must go out as it came, so heads are written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion, HttpVersion11

from kyma_proxy.clock import utc_now
from kyma_proxy.errors import GatewayError, error_body
from kyma_proxy.flow import Reply
from kyma_proxy.heads import serialize_head

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_DIGITS: Final = re.compile(r"[0-9]{1,18}")

# Framing and the fate of the connection are decided here, hop by hop, whatever the reply says.
_FRAMING_HEADERS: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})


@dataclass(slots=True)
class Framing:
    """How the end of a body is told to the client.

    Without `has_body` nothing follows the head, whose Content-Length then stays as it came unless `length` says it.
    """

    has_body: bool
    length: int | None
    chunked: bool
    close: bool


def frame(reply: Reply, method: str, version: HttpVersion, close: bool) -> Framing:
    """Choose the framing of a reply to a request of this method and version.

    `close` says that the connection ends with this answer; it also ends when only its end can mark the body's end.
    """
    whole = len(reply.body) if isinstance(reply.body, bytes) else None
    if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
        own_length = whole if method == "HEAD" and not reply.forwarded else None
        return Framing(False, own_length, False, close)
    length = _announced_length(reply) if whole is None else whole
    if length is not None:
        return Framing(True, length, False, close)
    if version >= HttpVersion11:
        return Framing(True, None, True, close)
    return Framing(True, None, False, True)


def reply_head(reply: Reply, framing: Framing, version: HttpVersion, keep_alive_asked: bool) -> bytes:
    """The bytes of status line and headers; header bytes that were not UTF-8 come out as they came in.

    Raises ValueError when the reply's head contains a control character: it would let a header forge others.
    """
    length = None if framing.length is None else str(framing.length)
    drops_length = framing.length is not None or framing.has_body
    fields: list[tuple[str, str]] = []
    for name, value in reply.headers.items():
        lowered = name.lower()
        if lowered == "content-length" and drops_length:
            if length is not None:
                # Where the first one stood.
                fields.append((name, length))
                length = None
        elif lowered not in _FRAMING_HEADERS:
            fields.append((name, value))
    if length is not None:
        fields.append(("Content-Length", length))
    if framing.chunked:
        fields.append(("Transfer-Encoding", "chunked"))
    if framing.close:
        fields.append(("Connection", "close"))
    elif version < HttpVersion11 and keep_alive_asked:
        fields.append(("Connection", "keep-alive"))
    phrase = _PHRASES.get(reply.status, "") if reply.phrase is None else reply.phrase
    return serialize_head(f"HTTP/1.1 {reply.status} {phrase}", fields)


def error_reply(error: GatewayError) -> Reply:
    """The envelope for a refusal, with `x-should-retry` and the headers it brought."""
    reply = Reply.json(error_body(error.code, error.message), error.headers, error.code.status)
    reply.headers["x-should-retry"] = "true" if error.should_retry else "false"
    return reply


def sign(reply: Reply, request_id: str) -> None:
    """Add to a reply of our own what every one of them carries; forwarded replies are left as they came."""
    if reply.forwarded:
        return
    reply.headers["x-request-id"] = request_id
    reply.headers.setdefault("Date", format_datetime(utc_now(), usegmt=True))
    reply.headers.setdefault("x-should-retry", "false")


def _announced_length(reply: Reply) -> int | None:
    announced = reply.headers.getall("Content-Length", [])
    return int(announced[0]) if len(announced) == 1 and _DIGITS.fullmatch(announced[0]) else None
