"""Heads of forwarded messages: which headers go on, and how they are written byte for byte."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from aiohttp import http_writer
from multidict import CIMultiDict

from kyma_proxy.heads import serialize_head

RawHeaders = Iterable[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 2616 section 13.5.1 (`Trailers` is its spelling of `Trailer`) and the `Proxy-Connection` of old clients."""


_CONTROL_CHARACTER: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def text(raw: bytes) -> str:
    """A header's bytes as text that turns back into the same bytes, whatever their encoding."""
    return raw.decode("utf-8", "surrogateescape")


def end_to_end(
    raw_headers: RawHeaders, drop: Callable[[bytes], bool] | None = None, *, upgrade: bool = False
) -> CIMultiDict[str]:
    """The headers that go on to the next hop, in their order and spelling, repetitions included.

    Left out are the hop-by-hop ones, those that `Connection` names, and those whose lower-case name `drop` says. With
    `upgrade` the head asks for a change of protocols, or agrees to it: `Upgrade` stays, and that word of `Connection`.
    """
    raw_headers = tuple(raw_headers)
    hop_by_hop = HOP_BY_HOP | _named_by_connection(raw_headers)
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in raw_headers:
        lowered = name.lower()
        if upgrade and lowered in (b"upgrade", b"connection"):
            kept.extend((text(name), text(word)) for word in _upgrade_words(lowered, value))
        elif lowered not in hop_by_hop and not (drop and drop(lowered)):
            kept.add(text(name), text(value))
    return kept


def _upgrade_words(lowered: bytes, value: bytes) -> list[bytes]:
    if lowered == b"upgrade":
        return [value]
    options = [option.strip() for option in value.split(b",")]
    return [option for option in options if option.lower() == b"upgrade"][:1]


def _named_by_connection(raw_headers: RawHeaders) -> frozenset[bytes]:
    return frozenset(
        option.strip().lower()
        for name, value in raw_headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    )


def unreadable(phrase: str | None, raw_headers: RawHeaders) -> str | None:
    """Why an answer with this head must not go on, in words for the log; None if it may.

    A coding of the way other than `chunked` ends at this hop, which does not decode it: what came on would be noise.
    A control character would let a header forge others.
    """
    codings = [value for name, value in raw_headers if name.lower() == b"transfer-encoding"]
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        return "the answer has a Transfer-Encoding other than chunked"
    if phrase is not None and _CONTROL_CHARACTER.search(phrase.encode("utf-8", "surrogateescape")):
        return "the answer's status line contains a control character"
    if any(_CONTROL_CHARACTER.search(value) for _, value in raw_headers):
        return "the answer's head contains a control character"
    return None


def new_traceparent() -> str:
    """The `traceparent` of a trace that begins here (W3C Trace Context)."""
    digits = secrets.token_hex(24)
    return f"00-{digits[:32]}-{digits[32:]}-01"


def trace_id_of(traceparent: str) -> str | None:
    """The trace that a `traceparent` names; None if it is not well-formed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else None


def install_head_serializer() -> None:
    """Have aiohttp write heads without losing bytes that are not UTF-8 (its C code leaves them out).

    aiohttp offers no better seam than this module global. Heads of pure ASCII still take the C code; others get the
    same check for control characters. Doing it twice changes nothing.
    """
    present: Callable[[str, Any], bytes] = http_writer._serialize_headers
    if getattr(present, "keeps_bytes", False):
        return

    def serialize(status_line: str, headers: CIMultiDict[str]) -> bytes:
        if status_line.isascii() and all(value.isascii() for value in headers.values()):
            return present(status_line, headers)
        return serialize_head(status_line, headers)

    serialize.keeps_bytes = True  # type: ignore[attr-defined]
    http_writer._serialize_headers = serialize
