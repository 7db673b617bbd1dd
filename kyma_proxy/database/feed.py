"""What other processes changed, heard through LISTEN: the way caches are kept honest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog

from kyma_proxy.database.errors import CLIENT_ERRORS
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.tasks import Tasks

_log = structlog.get_logger("kyma_proxy.database")

# A silent line is noticed after one interval and one answer time: below the two seconds that revocations have.
_PING_INTERVAL_SECONDS = 1.0
_PING_ANSWER_SECONDS = 0.7
_CONNECT_SECONDS = 2.0
_BACK_OFF_FIRST_SECONDS = 0.1
_BACK_OFF_MAX_SECONDS = 2.0


@dataclass
class _Subscriber:
    channel: str
    on_message: Callable[[str], None]
    on_lost: Callable[[], None]


@dataclass
class _Line:
    """One LISTEN connection and the event of its end."""

    connection: Any
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ChangeFeed:
    """One dedicated connection that LISTENs on every channel subscribed to, and connects again when it is lost."""

    def __init__(self, target: DatabaseTarget, tasks: Tasks) -> None:
        self._target = target
        self._tasks = tasks
        self._subscribers: list[_Subscriber] = []
        self._task: asyncio.Task[None] | None = None
        self._connected = False

    def __repr__(self) -> str:
        return f"ChangeFeed({self._target.label}, {'connected' if self._connected else 'not connected'})"

    @property
    def connected(self) -> bool:
        """Whether every change made from now on will be heard. A loss is known within two seconds."""
        return self._connected

    def subscribe(self, channel: str, on_message: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        """Call `on_message(payload)` for each NOTIFY on `channel`. Subscribe before `start`.

        `on_lost()` means that changes may have gone unheard, so nothing remembered can be trusted: it is called when
        the feed is lost, and again each time it begins to listen, before `connected` turns true.
        """
        self._subscribers.append(_Subscriber(channel, on_message, on_lost))

    async def start(self) -> None:
        """Begin to listen; returns when the first attempt has ended, whether or not the database was there."""
        tried = asyncio.Event()
        self._task = self._tasks.spawn(self._run(tried), "change_feed")
        await tried.wait()

    async def stop(self) -> None:
        """Stop listening. Stopping twice is harmless."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, tried: asyncio.Event) -> None:
        try:
            await self._listen_for_ever(tried)
        finally:
            tried.set()

    async def _listen_for_ever(self, tried: asyncio.Event) -> None:
        pause_seconds = _BACK_OFF_FIRST_SECONDS
        while True:
            try:
                line = await self._listen()
            except CLIENT_ERRORS as error:
                _log.warning("change_feed_not_connected", error=type(error).__name__, retry_seconds=pause_seconds)
                tried.set()
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, _BACK_OFF_MAX_SECONDS)
                continue
            pause_seconds = _BACK_OFF_FIRST_SECONDS
            try:
                self._distrust()
                self._connected = True
                tried.set()
                _log.info("change_feed_connected", target=self._target.label)
                await _watch(line)
            finally:
                self._connected = False
                self._distrust()
                line.connection.terminate()
            _log.warning("change_feed_lost")

    async def _listen(self) -> _Line:
        """A connection that listens on every channel; closed again if that fails halfway."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await asyncpg.connect(**self._target.connect_arguments())
            line = _Line(connection)
            try:
                connection.add_termination_listener(lambda _connection: line.ended.set())
                for subscriber in self._subscribers:
                    await connection.add_listener(subscriber.channel, _deliver_to(subscriber))
            except BaseException:
                connection.terminate()
                raise
            return line

    def _distrust(self) -> None:
        for subscriber in self._subscribers:
            subscriber.on_lost()


def _deliver_to(subscriber: _Subscriber) -> Callable[[Any, int, str, str], None]:
    def deliver(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        subscriber.on_message(payload)

    return deliver


async def _watch(line: _Line) -> None:
    """Return when the line is dead: closed by the server, or silent when asked."""
    while not line.ended.is_set():
        try:
            async with asyncio.timeout(_PING_INTERVAL_SECONDS):
                await line.ended.wait()
        except TimeoutError:
            try:
                async with asyncio.timeout(_PING_ANSWER_SECONDS):
                    await line.connection.execute("SELECT 1")
            except CLIENT_ERRORS:
                return
