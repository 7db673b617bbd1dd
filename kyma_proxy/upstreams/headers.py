"""Heads of forwarded messages: which headers go on, and how they are written byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

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


def text(raw: bytes) -> str:
    """A header's bytes as text that turns back into the same bytes, whatever their encoding."""
    return raw.decode("utf-8", "surrogateescape")


def end_to_end(raw_headers: RawHeaders, drop: Callable[[bytes], bool] | None = None) -> CIMultiDict[str]:
    """The headers that go on to the next hop, in their order and spelling, repetitions included.

    Left out are the hop-by-hop ones, those that `Connection` names, and those whose lower-case name `drop` says.
    """
    raw_headers = tuple(raw_headers)
    hop_by_hop = HOP_BY_HOP | _named_by_connection(raw_headers)
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in raw_headers:
        lowered = name.lower()
        if lowered not in hop_by_hop and not (drop and drop(lowered)):
            kept.add(text(name), text(value))
    return kept


def _named_by_connection(raw_headers: RawHeaders) -> frozenset[bytes]:
    return frozenset(
        option.strip().lower()
        for name, value in raw_headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    )


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
