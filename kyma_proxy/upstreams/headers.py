"""Heads of forwarded messages: which headers go on, and how they are written byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kyma_proxy.identifiers import hex_identifier

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


_USUAL_OPTIONS: Final = frozenset({"keep-alive", "close", "upgrade"})
"""What `Connection` names in practice: all of it hop-by-hop anyhow."""
_UPGRADE_HEADERS: Final = frozenset({"upgrade", "connection"})
_CONTROL_CHARACTER: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def text(raw: bytes) -> str:
    """A header's bytes as text that turns back into the same bytes, whatever their encoding."""
    return raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Which headers do not go on to the next hop, by lower-case name: hop-by-hop ones, and what a hop leaves out."""

    names: frozenset[bytes] = HOP_BY_HOP
    prefix: bytes | None = None

    @classmethod
    def without(cls, names: Iterable[bytes], prefix: bytes | None = None) -> LeftOut:
        """Leave out `names` too, and those that begin with `prefix`."""
        return cls(HOP_BY_HOP.union(names), prefix)


_ALL_END_TO_END: Final = LeftOut()


def end_to_end(
    raw_headers: RawHeaders, left_out: LeftOut = _ALL_END_TO_END, *, upgrade: bool = False
) -> list[tuple[str, str]]:
    """The headers that go on to the next hop, in their order and spelling, repetitions included.

    Left out are those that `left_out` and `Connection` name. With `upgrade` the head asks for a change of protocols,
    or agrees to it: `Upgrade` stays, and that word of `Connection`.
    """
    names, prefix = left_out.names, left_out.prefix
    kept: list[tuple[str, str]] = []
    options: frozenset[str] = frozenset()
    for name, value in raw_headers:
        lowered = name.lower()
        if lowered in names:
            if lowered == b"connection":
                options |= _options(value)
            if upgrade and lowered in (b"upgrade", b"connection"):
                kept.extend((text(name), text(word)) for word in _upgrade_words(lowered, value))
        elif prefix is None or not lowered.startswith(prefix):
            try:
                kept.append((name.decode(), value.decode()))
            except UnicodeDecodeError:
                kept.append((text(name), text(value)))
    if options - _USUAL_OPTIONS:
        still_here = _UPGRADE_HEADERS if upgrade else frozenset()
        kept = [pair for pair in kept if (field := pair[0].lower()) not in options or field in still_here]
    return kept


def _upgrade_words(lowered: bytes, value: bytes) -> list[bytes]:
    if lowered == b"upgrade":
        return [value]
    options = [option.strip() for option in value.split(b",")]
    return [option for option in options if option.lower() == b"upgrade"][:1]


def _options(connection: bytes) -> frozenset[str]:
    """What a `Connection` header names."""
    return frozenset(text(option.strip().lower()) for option in connection.split(b","))


def unreadable(phrase: str | None, raw_headers: RawHeaders) -> str | None:
    """Why an answer with this head must not go on, in words for the log; None if it may.

    A coding of the way other than `chunked` ends at this hop, which does not decode it: what came on would be noise.
    A control character would let a header forge others.
    """
    codings = [value for name, value in raw_headers if len(name) == 17 and name.lower() == b"transfer-encoding"]
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        return "the answer has a Transfer-Encoding other than chunked"
    if phrase is not None and _CONTROL_CHARACTER.search(phrase.encode("utf-8", "surrogateescape")):
        return "the answer's status line contains a control character"
    if _CONTROL_CHARACTER.search(b"".join([value for _, value in raw_headers])):
        return "the answer's head contains a control character"
    return None


def new_traceparent() -> str:
    """The `traceparent` of a trace that begins here (W3C Trace Context)."""
    made = hex_identifier(48)
    return f"00-{made[:32]}-{made[32:]}-01"


def trace_id_of(traceparent: str) -> str | None:
    """The trace that a `traceparent` names; None if it is not well-formed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else None
