"""Where an uploaded file lies while it is judged and sent on: memory outside Python's heap, never a disk."""

from __future__ import annotations

import contextlib
import mmap
from types import TracebackType


class Upload:
    """An anonymous mapping of `max_bytes` that is written in place: it costs what the file weighs, and no copy.

    The memory goes back to the system at `close`, or with the last view of it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._map = mmap.mmap(-1, max_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._max_bytes = max_bytes
        self._size = 0

    def __repr__(self) -> str:
        return f"Upload({self._size} of at most {self._max_bytes} bytes{', closed' if self._map.closed else ''})"

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._size

    def append(self, piece: bytes) -> bool:
        """Write the next piece; False, with nothing written, when it would go over `max_bytes`."""
        end = self._size + len(piece)
        if end > self._max_bytes:
            return False
        self._map[self._size : end] = piece
        self._size = end
        return True

    def view(self) -> memoryview:
        """The bytes written, read-only and not copied. Raises ValueError once closed."""
        return memoryview(self._map).toreadonly()[: self._size]

    def close(self) -> None:
        """Give the memory back; closing again does nothing."""
        # A view that is still held (by a traceback, by a request being sent) keeps the mapping until it goes.
        with contextlib.suppress(BufferError):
            self._map.close()
