"""Waiting for what another process does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kyma_proxy.clock import monotonic_seconds


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 10, what: str = "it") -> None:
    """Ask again and again until the answer is true; fails after so many seconds."""
    began = monotonic_seconds()
    while not await condition():
        assert monotonic_seconds() - began < seconds, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.02)
