"""Heads of HTTP messages as bytes, in both directions."""

from __future__ import annotations

import re
from typing import Final

from multidict import CIMultiDict

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def serialize_head(first_line: str, headers: CIMultiDict[str]) -> bytes:
    """First line and headers as bytes; header bytes that were not UTF-8 come out as they came in.

    Raises ValueError for a control character: it would let a header forge others.
    """
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items())]
    if any(_CONTROL_CHARACTER.search(line) for line in lines):
        raise ValueError("a control character in a head")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
