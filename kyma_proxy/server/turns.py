"""Turns at large pieces of bodies: however many uploads arrive at line speed, the others are served in between."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LARGE_BYTES: Final = 64 * 1024
"""A piece of a body that takes a noticeable part of a millisecond to be read, copied and looked at."""


BETWEEN_SECONDS: Final = 0.001
"""How long the loop is left to others between two turns. 100 to 300 MB/s still come in: more than a network brings."""


class Turns:
    """Gives one turn after the other, in the order in which they were asked for, with a pause between two takers."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_giving = False
        self._next_at = 0.0
        self._last: object = None

    def __repr__(self) -> str:
        return f"Turns({len(self._waiting)} waiting)"

    async def next(self, taker: object) -> None:
        """Wait for a turn; who is alone does not wait."""
        loop = asyncio.get_running_loop()
        is_alone, self._last = self._last is taker, taker
        if not self._is_giving and (is_alone or loop.time() >= self._next_at):
            self._next_at = loop.time() + BETWEEN_SECONDS
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._is_giving:
            self._is_giving = True
            loop.call_at(self._next_at, self._give)
        await turn

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._next_at = loop.time() + BETWEEN_SECONDS
                break
        self._is_giving = bool(self._waiting)
        if self._is_giving:
            loop.call_at(self._next_at, self._give)
