"""Noticing that a client has left while its answer is still to begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from kyma_proxy.flow import ClientLeftError
from kyma_proxy.wheel import TimerWheel, WheelTimer

LOOK_SECONDS = 0.1
"""How often the connection is asked. Nothing else tells: the edge does not cancel a handler whose client left."""


class while_client_waits:  # noqa: N801 - reads as what it does, like asyncio's timeout
    """Run what is inside only as long as the client is there: an asynchronous context manager.

    `client_connected` is a flow's. Raises ClientLeftError soon after the client's leaving (`LOOK_SECONDS`, and a tick
    of the wheel); what was being waited for is cancelled.
    """

    def __init__(self, client_connected: Callable[[], bool], wheel: TimerWheel) -> None:
        self._client_connected = client_connected
        self._wheel = wheel
        self._has_left = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._timer: WheelTimer | None = None

    async def __aenter__(self) -> None:
        """Begin to look."""
        self._task = asyncio.current_task(self._wheel.loop)
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._timer = self._wheel.after(LOOK_SECONDS, self._look)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking. A cancellation that was not ours goes on as such, as in `asyncio.timeout`."""
        assert self._task is not None
        assert self._timer is not None
        self._timer.cancel()
        if self._has_left and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ClientLeftError("the client hung up before its answer began") from error

    def _look(self) -> None:
        if self._client_connected():
            self._timer = self._wheel.after(LOOK_SECONDS, self._look)
        else:
            self._has_left = True
            assert self._task is not None
            self._task.cancel()
