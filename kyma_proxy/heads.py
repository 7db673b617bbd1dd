"""Heads of HTTP messages as bytes, in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDictProxy

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # but those that end lines


def serialize_head(first_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """First line and headers as bytes; header bytes that were not UTF-8 come out as they came in.

    Raises ValueError for a control character: it would let a header forge others.
    """
    lines = [first_line, *[f"{name}: {value}" for name, value in headers], "\r\n"]
    head = "\r\n".join(lines)
    if not head.count("\r") == head.count("\n") == len(lines) or _CONTROL_CHARACTER.search(head):
        raise ValueError("a control character in a head")
    return head.encode("utf-8", "surrogateescape")


def names_upgrade(headers: CIMultiDictProxy[str]) -> bool:
    """True for a head that carries `Upgrade` and whose `Connection` names it: whoever sent it may leave HTTP."""
    if "Upgrade" not in headers:
        return False
    options = ",".join(headers.getall("Connection", [])).lower().split(",")
    return any(option.strip() == "upgrade" for option in options)


def names_websocket(headers: CIMultiDictProxy[str]) -> bool:
    """True for a head that asks to go on as a WebSocket and as nothing else, or that agrees to it."""
    protocols = [protocol.strip().lower() for protocol in headers.getall("Upgrade", [])]
    return protocols == ["websocket"] and names_upgrade(headers)
