"""What other processes changed, heard through LISTEN: the way caches are kept honest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.connections import is_read_only
from kyma_proxy.database.connector import Connector
from kyma_proxy.database.errors import CLIENT_ERRORS
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.tasks import Tasks

_log = structlog.get_logger("kyma_proxy.database")

_PING_INTERVAL_SECONDS = 0.5
_PING_ANSWER_SECONDS = 0.4
SILENCE_SECONDS_MAX = _PING_INTERVAL_SECONDS + _PING_ANSWER_SECONDS
"""After how long a silent line is noticed: what is remembered agrees with the books within a second."""
_CONNECT_SECONDS = 2.0
_BACK_OFF_FIRST_SECONDS = 0.1
# Short, because until it listens again what was known before may still be believed.
_BACK_OFF_MAX_SECONDS = 0.5


@dataclass
class _Subscriber:
    channel: str
    on_message: Callable[[str], None]
    on_lost: Callable[[], None]
    on_connected: Callable[[], None]


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
        self._connector = Connector(target)
        self._subscribers: list[_Subscriber] = []
        self._task: asyncio.Task[None] | None = None
        self._connected = False
        self._heard_until = float("-inf")

    def __repr__(self) -> str:
        return f"ChangeFeed({self._target.label}, {'connected' if self._connected else 'not connected'})"

    @property
    def connected(self) -> bool:
        """Whether every change made from now on will be heard. A loss is known within a second."""
        return self._connected

    @property
    def heard_until(self) -> float:
        """Up to which moment every change was heard, in seconds of the monotonic clock; -inf before the first line.

        It follows the line's pings, and stands still while the feed is lost.
        """
        return self._heard_until

    def subscribe(
        self,
        channel: str,
        on_message: Callable[[str], None],
        on_lost: Callable[[], None],
        on_connected: Callable[[], None],
    ) -> None:
        """Call `on_message(payload)` for each NOTIFY on `channel`. Subscribe before `start`.

        `on_lost()` means that changes go unheard from now on. `on_connected()` means that the feed listens, for the
        first time or again, and that changes may have gone unheard before: it is called before `connected` turns true.
        """
        self._subscribers.append(_Subscriber(channel, on_message, on_lost, on_connected))

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
                self._heard_until = monotonic_seconds()
                for subscriber in self._subscribers:
                    subscriber.on_connected()
                self._connected = True
                tried.set()
                _log.info("change_feed_connected", target=self._target.label)
                await self._watch(line)
            finally:
                self._connected = False
                for subscriber in self._subscribers:
                    subscriber.on_lost()
                line.connection.terminate()
            _log.warning("change_feed_lost")

    async def _listen(self) -> _Line:
        """A connection that listens on every channel; closed again if that fails halfway."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await self._connector.connect(_CONNECT_SECONDS)
            line = _Line(connection)
            try:
                connection.add_termination_listener(lambda _connection: line.ended.set())
                for subscriber in self._subscribers:
                    await connection.add_listener(subscriber.channel, _deliver_to(subscriber))
            except BaseException:
                connection.terminate()
                raise
            return line

    async def _watch(self, line: _Line) -> None:
        """Return when the line is dead: closed by the server, silent when asked, or to one that is primary no more."""
        while not line.ended.is_set():
            try:
                async with asyncio.timeout(_PING_INTERVAL_SECONDS):
                    await line.ended.wait()
            except TimeoutError:
                asked_at = monotonic_seconds()
                try:
                    async with asyncio.timeout(_PING_ANSWER_SECONDS):
                        await line.connection.execute("SELECT 1")
                except CLIENT_ERRORS:
                    return
                if self._target.wants_primary and is_read_only(line.connection):
                    # A server that was fenced stays up, and what is changed at the new one is not heard from it.
                    return
                # News of what was committed before the question stands on the line before its answer.
                self._heard_until = asked_at


def _deliver_to(subscriber: _Subscriber) -> Callable[[Any, int, str, str], None]:
    def deliver(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        subscriber.on_message(payload)

    return deliver
