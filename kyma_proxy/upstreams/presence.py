"""Noticing that a client has left while its answer is still to begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kyma_proxy.flow import ClientLeftError

LOOK_SECONDS = 0.1
"""How often the connection is asked. Nothing else tells: the edge does not cancel a handler whose client left."""


@asynccontextmanager
async def while_client_waits(client_connected: Callable[[], bool]) -> AsyncIterator[None]:
    """Run what is inside only as long as the client is there.

    `client_connected` is a flow's. Raises ClientLeftError within `LOOK_SECONDS` of the client's leaving; what was
    being waited for is cancelled.
    """
    loop = asyncio.get_running_loop()
    clock = asyncio.timeout(None)
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        if client_connected():
            timer = loop.call_later(LOOK_SECONDS, look)
        else:
            clock.reschedule(0)

    try:
        async with clock:
            timer = loop.call_later(LOOK_SECONDS, look)
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError as error:
        if clock.expired():
            raise ClientLeftError("the client hung up before its answer began") from error
        raise
