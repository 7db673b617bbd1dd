"""Building and changing files by the byte: RIFF chunks, ISO boxes, ID3 and APE tags, MP3 frames."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, padded to an even length; `size` is what it says instead of the truth."""
    return struct.pack("<4sI", name, len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes, form: bytes = b"WAVE", name: bytes = b"RIFF", size: int | None = None) -> bytes:
    """A RIFF file."""
    content = form + b"".join(chunks)
    return struct.pack("<4sI", name, len(content) if size is None else size) + content


def wave_format(codec: int, channels: int, rate_hz: int, block_bytes: int, bits: int, extra: bytes = b"") -> bytes:
    """A `fmt ` chunk; the byte rate is that of uncompressed audio."""
    fields = struct.pack("<HHIIHH", codec, channels, rate_hz, rate_hz * block_bytes, block_bytes, bits)
    return chunk(b"fmt ", fields + (struct.pack("<H", len(extra)) + extra if extra or codec != 1 else b""))


def box(name: bytes, content: bytes) -> bytes:
    """An ISO box."""
    return struct.pack(">I4s", len(content) + 8, name) + content


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box in `data`."""
    position = 0
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            size, start = struct.unpack_from(">Q", data, start)[0], position + 16
        size = size or len(data) - position
        yield name, data[start : position + size]
        position += size


def within(data: bytes, *path: bytes) -> bytes:
    """The content of the first box down a path of names."""
    for name in path:
        data = next(content for found, content in boxes(data) if found == name)
    return data


def edited(data: bytes, path: tuple[bytes, ...], change: Callable[[bytes], bytes | None]) -> bytes:
    """The boxes of `data` with the first one at `path` changed: its new content, or None to take it out.

    Chunk offsets are not moved, so only what stands behind the audio may change its length.
    """
    name, done = path[0], False
    out = b""
    for found, content in boxes(data):
        if found != name or done:
            out += box(found, content)
            continue
        done = True
        new = change(content) if len(path) == 1 else edited(content, path[1:], change)
        out += b"" if new is None else box(found, new)
    return out


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    """`data` with one number replaced."""
    out = bytearray(data)
    struct.pack_into(form, out, offset, value)
    return bytes(out)


def id3(content: bytes, *, version: int = 4, flags: int = 0) -> bytes:
    """An ID3v2 tag around `content`."""
    size = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes((version, 0, flags)) + size + content


def id3v1() -> bytes:
    """An ID3v1 tag."""
    return b"TAG" + b"title".ljust(30, b"\0") + bytes(95)


def ape(items: bytes = b"") -> bytes:
    """An APEv2 tag with header and footer."""
    size = len(items) + 32
    head = b"APETAGEX" + struct.pack("<IIII", 2000, size, 0, 0xA0000000) + bytes(8)
    foot = b"APETAGEX" + struct.pack("<IIII", 2000, size, 0, 0x80000000) + bytes(8)
    return head + items + foot
