"""Where the head and the body of the request that is arriving end, found in its bytes.

aiohttp's parser tells what it understood, not which bytes it took for it. It reads a request line with several spaces
or of another protocol (`RTSP/1.0`), skips any number of empty lines before it, hands the last trailer of a chunked body
on as a header of the *next* request, and loses what is behind a request to switch protocols. So it is given the bytes
of one request at a time, and what it understood is compared with them.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import EMPTY_PAYLOAD, StreamReader
from aiohttp.http_parser import RawRequestMessage

_HEAD_END: Final = b"\r\n\r\n"
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")


class Boundaries:
    """Follows the requests of one connection, one after the other. `max_line_bytes` bounds a chunk's size line."""

    __slots__ = ("_chunks", "_head", "_left", "_max_line_bytes", "ended", "head_complete")

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._head = b""
        self._left = 0
        self._chunks: _Chunks | None = None
        self.head_complete = False
        self.ended = False
        """Whether nothing behind the present request is to be read as another one."""

    @property
    def in_body(self) -> bool:
        """Whether bytes of the present request's body are still to come."""
        return self._left > 0 or self._chunks is not None

    def head_size(self, data: bytes) -> int:
        """How many of these next bytes belong to the head: all of them, if `head_complete` is not set by them."""
        known = len(self._head)
        head = self._head + data if known else data
        end = head.find(_HEAD_END, max(0, known - 3))
        if end < 0:
            self._head = head
            return len(data)
        end += len(_HEAD_END)
        self.head_complete = True
        self._head = head if end == len(head) else head[:end]
        return end - known

    def head_agrees(self, message: RawRequestMessage) -> bool:
        """Whether the complete head is spelled as HTTP has it, and `message` is what it says."""
        head = self._head
        if not self.head_complete:
            return False
        # Source: RFC 9112 section 2.2, at least one empty line before a request is to be ignored.
        skipped = head.startswith(b"\r\n")
        version = message.version
        line = f"{message.method} {message.path} HTTP/{version.major}.{version.minor}\r\n"
        if not head.startswith(line.encode("utf-8", "surrogateescape"), 2 * skipped):
            return False
        return head.count(b"\r\n") == skipped + 1 + len(message.raw_headers) + 1

    def enter_body(self, message: RawRequestMessage, body: StreamReader) -> None:
        """The head is over; what comes next is the body that it announces."""
        self._head = b""
        self.head_complete = False
        if message.chunked:
            self._chunks = _Chunks(self._max_line_bytes)
        elif body is not EMPTY_PAYLOAD:
            self._left = int(message.headers.get("Content-Length", "0"))
        if message.upgrade:
            # Another protocol may follow.
            self.ended = True

    def body_size(self, data: bytes) -> int:
        """How many of these next bytes belong to the body. Raises ValueError where its framing is broken."""
        if self._chunks is None:
            size = min(self._left, len(data))
            self._left -= size
            return size
        size = self._chunks.size(data)
        if self._chunks.complete:
            # Its trailers would become headers of whatever comes next: perhaps of somebody else's request.
            self.ended = self.ended or self._chunks.has_trailers
            self._chunks = None
        return size

    def end(self) -> None:
        """Nothing more is to be read: it is not certain what it would be."""
        self.ended = True
        self._head = b""
        self._left = 0
        self._chunks = None


class _Chunks:
    """Finds the end of one chunked body, in pieces."""

    __slots__ = ("_in_trailers", "_left", "_line", "_max_line_bytes", "complete", "has_trailers")

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._line = b""
        self._left = 0
        self._in_trailers = False
        self.complete = False
        self.has_trailers = False

    def size(self, data: bytes) -> int:
        at = 0
        while at < len(data) and not self.complete:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            elif not self._line and not self._in_trailers and (match := _CHUNK_LINE.match(data, at)):
                at = match.end()
                self._begin(match)
            else:
                at = self._read_slowly(data, at)
        return at

    def _read_slowly(self, data: bytes, at: int) -> int:
        """Read up to the end of a line, which may have begun in an earlier piece and go on in the next one."""
        end = data.find(b"\n", at) + 1 or len(data)
        self._line += data[at:end]
        if len(self._line) > self._max_line_bytes:
            raise ValueError("a line of the chunked framing is too long")
        if self._line.endswith(b"\n"):
            line, self._line = self._line, b""
            self._read_line(line)
        return end

    def _read_line(self, line: bytes) -> None:
        if self._in_trailers:
            self.complete = line == b"\r\n"
            self.has_trailers |= not self.complete
            return
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ValueError("this is not the size of a chunk")
        self._begin(match)

    def _begin(self, match: re.Match[bytes]) -> None:
        if match.end() - match.start() > self._max_line_bytes:
            raise ValueError("a line of the chunked framing is too long")
        size = int(match[1], 16)
        if size:
            self._left = size + 2  # its CRLF
        else:
            self._in_trailers = True
