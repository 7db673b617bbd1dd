"""Where log lines go: those of requests together, once for each turn of the event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TextIO


class LineHandler(logging.StreamHandler[TextIO]):
    """logging's handler of a stream, with a way past its formatting for lines that are ready.

    Such a line waits until the loop's turn is over, and goes out with the others of that turn: a busy process ends many
    requests in one, and a system call for each would cost as much as finding the words. The order of lines stays.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []
        self._woken_by: asyncio.AbstractEventLoop | None = None

    def write_soon(self, line: str) -> None:
        """Write a line, without its end, when the loop's turn is over; at once where no loop runs."""
        self._waiting.append(line)
        if self._woken_by is not None and self._woken_by.is_running():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_waiting()
            return
        self._woken_by = loop
        loop.call_soon(self._write_waiting)

    def emit(self, record: logging.LogRecord) -> None:
        """logging: write a record, behind the lines that came before it."""
        if self._waiting:
            self._write_waiting()
        super().emit(record)

    def flush(self) -> None:
        """logging: nothing may be left waiting, since the process may end now."""
        if self._waiting:
            self._write_waiting()
        super().flush()

    def _write_waiting(self) -> None:
        self._woken_by = None
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        lines.append("")
        self.acquire()
        try:
            self.stream.write("\n".join(lines))
            super().flush()
        except (OSError, ValueError):
            # Nobody reads them any more, or the stream was closed: no request fails for that.
            return
        finally:
            self.release()
