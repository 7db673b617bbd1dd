"""Server-sent events as they arrive, split anywhere (WHATWG HTML, "Parsing an event stream")."""

from __future__ import annotations

from collections.abc import Iterator

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLongError(ValueError):
    """An event is longer than it may be."""


class EventReader:
    """Takes the bytes of a stream in pieces of any size and gives the data of each event, undecoded.

    Lines end with CRLF, LF or CR; several `data` lines of an event are joined with LF; comments and other fields are
    left out. At most `event_bytes_max` bytes are kept.
    """

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that these bytes complete; to be read to its end.

        Raises EventTooLongError, after the events before the one that is too long.
        """
        if not chunk:
            return
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        for piece in chunk.splitlines(keepends=True):
            text = piece.rstrip(b"\r\n")
            self._line += text
            if len(self._line) + self._data_bytes > self._event_bytes_max:
                raise EventTooLongError(f"an event is over {self._event_bytes_max} bytes")
            if len(text) < len(piece):
                yield from self._end_line()

    def end(self) -> Iterator[bytes]:
        """The data of an event that the end of the stream completes: a sender may leave out the last blank line."""
        if self._line:
            yield from self._end_line()
        yield from self._end_event()

    def _end_line(self) -> Iterator[bytes]:
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        if not line:
            yield from self._end_event()
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._data_bytes += len(value) + 1

    def _end_event(self) -> Iterator[bytes]:
        data = b"\n".join(self._data)
        self._data.clear()
        self._data_bytes = 0
        if data:
            yield data
