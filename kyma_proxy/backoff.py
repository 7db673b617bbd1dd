"""Waiting between tries."""

from __future__ import annotations

import asyncio


class Backoff:
    """Pauses that double from `first_seconds` up to `most_seconds`."""

    def __init__(self, first_seconds: float, most_seconds: float = 5.0) -> None:
        self._next_seconds = first_seconds
        self._most_seconds = most_seconds

    async def pause(self) -> None:
        """Wait for the next pause."""
        seconds = min(self._next_seconds, self._most_seconds)
        self._next_seconds = seconds * 2
        await asyncio.sleep(seconds)
