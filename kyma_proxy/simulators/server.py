"""A simulator as a server on a port of its own: what all of them share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from aiohttp import web

from kyma_proxy.clock import monotonic_seconds

_HEAD_LINE_BYTES_MAX = 64 * 1024


class PathCall(Protocol):
    """A recorded call, as far as waiting for it goes."""

    @property
    def path(self) -> str:
        """The decoded path."""


CallT = TypeVar("CallT", bound=PathCall)


class SimulatorServer(ABC, Generic[CallT]):
    """Start and stop it, or use it in `async with`.

    What the simulator holds outlives `stop`, so an upstream that goes away and comes back is `stop` and `start` with
    the same port. Handlers are not cancelled by a disconnect: an upstream finishes what it was asked when its caller
    leaves. `auto_decompress` undoes a request's Content-Encoding before anything is read.
    """

    def __init__(self, *, auto_decompress: bool = True) -> None:
        self._auto_decompress = auto_decompress
        self._runner: web.AppRunner | None = None
        self._address = ("127.0.0.1", 0)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises OSError if the port is taken, RuntimeError if already started."""
        if self._runner is not None:
            raise RuntimeError("the simulator is running already")
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            handler_cancellation=False,
            shutdown_timeout=0.1,
            auto_decompress=self._auto_decompress,
            max_line_size=_HEAD_LINE_BYTES_MAX,
            max_field_size=_HEAD_LINE_BYTES_MAX,
        )
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, host, port).start()
        except BaseException:
            await self.stop()
            raise
        self._address = (host, self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and every connection; calls that are still stalled are dropped. Does nothing if stopped."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    @property
    def port(self) -> int:
        """The port it listens on, or listened on last."""
        return self._address[1]

    @property
    def base_url(self) -> str:
        """What a client's base URL must be, without a trailing slash."""
        return f"http://{self._address[0]}:{self.port}"

    @property
    @abstractmethod
    def calls(self) -> list[CallT]:
        """The calls that arrived, oldest first; only the latest ones are kept."""

    async def wait_for_call(self, path: str, count: int = 1, timeout_seconds: float = 5.0) -> CallT:
        """The `count`-th call of a path, as soon as it has arrived. Raises TimeoutError."""
        give_up_at = monotonic_seconds() + timeout_seconds
        while monotonic_seconds() < give_up_at:
            arrived = [call for call in self.calls if call.path == path]
            if len(arrived) >= count:
                return arrived[count - 1]
            await asyncio.sleep(0.005)
        raise TimeoutError(f"{path} was not called {count} times in {timeout_seconds} s")

    @abstractmethod
    def _app(self) -> web.Application:
        """A fresh application that answers by what the simulator holds."""
