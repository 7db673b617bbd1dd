"""What bytes on a connection mean by the letter of RFC 9112, in the simplest words: the reading to compare with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (?:https?://[^/?#]*)?([\x21-\x7e]*) HTTP/1\.([01])", re.I)
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")


@dataclass(slots=True)
class Meant:
    """One request that was sent; `whole` unless its body was broken or cut short."""

    method: bytes
    target: bytes
    minor: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False
    trailers: bool = False
    options: set[bytes] = field(default_factory=set)

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of that name; `name` is in lower case."""
        return [value for each, value in self.fields if each.lower() == name]

    @property
    def last(self) -> bool:
        """Whether nothing behind it is a request for certain."""
        switches = b"upgrade" in self.options and bool(self.values(b"upgrade"))
        return not self.whole or self.trailers or switches or b"close" in self.options or self.method == b"CONNECT"


def meanings(data: bytes) -> list[Meant]:
    """The requests in these bytes, up to the first that is not certain."""
    found: list[Meant] = []
    while data:
        meant, data = _read(data.removeprefix(b"\r\n"))
        if meant is None:
            break
        found.append(meant)
        if meant.last:
            break
    return found


def _read(data: bytes) -> tuple[Meant | None, bytes]:
    head, end, rest = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    first = _LINE.fullmatch(line)
    fields = [_FIELD.fullmatch(each) for each in lines]
    if not end or first is None or not all(fields):
        return None, b""
    pairs = [(each[1], each[2]) for each in fields if each is not None]
    target = first[2] if first[2].startswith(b"/") else b"/" + first[2]
    meant = Meant(first[1], target, first[3], pairs)
    meant.options = {each.strip().lower() for value in meant.values(b"connection") for each in value.split(b",")}
    codings, lengths = meant.values(b"transfer-encoding"), meant.values(b"content-length")
    hosts = meant.values(b"host")
    if len(hosts) > 1 or (meant.minor == b"1" and not hosts) or len(codings) + len(lengths) > 1:
        return None, b""
    if codings:
        if codings[0].lower() != b"chunked" or meant.minor == b"0":
            return None, b""
        return meant, _read_chunks(meant, rest)
    if lengths and not re.fullmatch(rb"[0-9]+", lengths[0]):
        return None, b""
    size = int(lengths[0]) if lengths else 0
    meant.body, meant.whole = rest[:size], size <= len(rest)
    return meant, rest[size:]


def _read_chunks(meant: Meant, data: bytes) -> bytes:
    """Read a chunked body into `meant`; returns what is behind it."""
    while (match := _CHUNK.match(data)) is not None:
        size = int(match[1], 16)
        data = data[match.end() :]
        if not size:
            return _read_trailers(meant, data)
        # What came of a broken chunk may have gone on before it broke.
        meant.body += data[:size]
        if data[size : size + 2] != b"\r\n":
            break
        data = data[size + 2 :]
    return b""


def _read_trailers(meant: Meant, data: bytes) -> bytes:
    while b"\r\n" in data:
        line, _, data = data.partition(b"\r\n")
        if not line:
            meant.whole = True
            break
        meant.trailers = True
    return data
