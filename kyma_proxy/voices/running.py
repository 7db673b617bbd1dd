"""Waiting for a mint that runs somewhere: woken when it ends, in whatever process that happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from kyma_proxy.backoff import Backoff
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database
from kyma_proxy.flow import ClientLeftError, Reply
from kyma_proxy.voices import claims, replies
from kyma_proxy.voices.claims import Running

MINTS_CHANNEL: Final = "kyma_mints"
_PRESENCE_SECONDS: Final = 0.5
"""How often it is looked whether the client that waits is still there."""


class RunningMints:
    """Joins a request to one like it that is being served.

    The database announces the end of a mint that somebody waits for. When the feed was lost, or listens again, every
    waiter is woken, because an end may have gone unheard; a waiter looks for itself what has happened.
    """

    def __init__(self, database: Database, feed: ChangeFeed) -> None:
        self._database = database
        self._waiters: dict[str, set[asyncio.Event]] = {}
        feed.subscribe(MINTS_CHANNEL, self._wake, self._wake_all, self._wake_all)

    def __repr__(self) -> str:
        return f"RunningMints({len(self._waiters)} waited for)"

    async def join(
        self, account_id: str, running: Running, client_connected: Callable[[], bool], deadline: float
    ) -> Reply | None:
        """Wait until a running mint has ended: its reply, to be told again, or None if it has failed.

        `deadline` is by `monotonic_seconds`. Raises GatewayError REQUEST_IN_PROGRESS then, ClientLeftError.
        """
        backoff = Backoff(0.1)
        with self._watch(running.voice_id) as ended:
            while monotonic_seconds() < deadline:
                ended.clear()
                try:
                    outcome = await self._database.transact(
                        lambda connection: claims.await_end(connection, account_id, running)
                    )
                except DatabaseUnavailableError:
                    await backoff.pause()
                    continue
                if not isinstance(outcome, Running):
                    return None if outcome is None else replies.as_replay(outcome)
                await _wait(ended, client_connected, deadline)
        raise claims.still_running()

    @contextmanager
    def _watch(self, voice_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the mint of this voice may have ended. Watch first, then look."""
        event = asyncio.Event()
        self._waiters.setdefault(voice_id, set()).add(event)
        try:
            yield event
        finally:
            waiters = self._waiters[voice_id]
            waiters.discard(event)
            if not waiters:
                del self._waiters[voice_id]

    def _wake(self, voice_id: str) -> None:
        for event in self._waiters.get(voice_id, ()):
            event.set()

    def _wake_all(self) -> None:
        for voice_id in self._waiters:
            self._wake(voice_id)


async def _wait(ended: asyncio.Event, client_connected: Callable[[], bool], deadline: float) -> None:
    while not ended.is_set() and (left := deadline - monotonic_seconds()) > 0:
        if not client_connected():
            raise ClientLeftError("the client left while the same request was being served")
        try:
            async with asyncio.timeout(min(_PRESENCE_SECONDS, left)):
                await ended.wait()
        except TimeoutError:
            continue
