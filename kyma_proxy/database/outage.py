"""Asking a database that may be away: how long anybody waits for it, and how long what was known is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.tasks import Tasks

T = TypeVar("T")
_log = structlog.get_logger("kyma_proxy.database")

PATIENCE_SECONDS: Final = 0.5
"""How long a look-up is waited for while the feed is lost and an answer from before is at hand."""
RETRY_SECONDS: Final = 1.0
"""How often a database that is known to be away is asked on behalf of those with such an answer."""


class Outage:
    """One process's view of whether the database is away; share it, so that one look-up finds out for all.

    What was known before is believed for `believe_seconds` from the moment when it was last known to be true, only
    instead of an answer that could not be had, and never once the change feed listens again. With 0, nothing is.
    """

    def __init__(self, feed: ChangeFeed, tasks: Tasks, *, believe_seconds: float) -> None:
        self._feed = feed
        self._tasks = tasks
        self._believe_seconds = believe_seconds
        self._retry_at: float | None = None
        """When to ask again; None unless the database is known to be away."""
        self._answered_at = float("-inf")

    def __repr__(self) -> str:
        return f"Outage({'away' if self._retry_at is not None else 'not known to be away'})"

    def believes(self, since: float, now: float) -> bool:
        """Whether something last known to be true at `since` may still be believed; both in monotonic seconds."""
        return now - since < self._believe_seconds

    async def ask(self, look_up: Callable[[], Coroutine[Any, Any, T]], recollect: Callable[[], T | None]) -> T:
        """The answer of the database, or what is recollected if that cannot be had.

        `recollect` is asked for what may be believed at that moment, None for nothing; `look_up` raises
        DatabaseUnavailableError, which passes when nothing is believed. While the feed is lost and something is, the
        look-up is waited for briefly, and left out for a second after one that failed.
        """
        if (known := recollect()) is not None:
            if self._feed.connected:
                self._retry_at = None
            elif not self._should_try():
                return known
        try:
            return await (self._ask(look_up) if known is None else self._ask_briefly(look_up, recollect))
        except DatabaseUnavailableError:
            if (known := recollect()) is None:
                raise
            return known

    def _should_try(self) -> bool:
        if self._retry_at is None:
            return True
        now = monotonic_seconds()
        if now < self._retry_at:
            return False
        # This one asks; whoever comes meanwhile need not.
        self._retry_at = now + RETRY_SECONDS
        return True

    async def _ask_briefly(self, look_up: Callable[[], Coroutine[Any, Any, T]], recollect: Callable[[], T | None]) -> T:
        asked_at = monotonic_seconds()
        # It goes on behind a request that stops waiting: cancelling it would stop a connection from being made.
        asking = self._tasks.spawn(self._ask(look_up), name="look_up")
        while not asking.done():
            await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
            if not asking.done() and not self._feed.connected:
                self._note_failure(asked_at)
                if (known := recollect()) is not None:
                    return known
        return asking.result()

    async def _ask(self, look_up: Callable[[], Coroutine[Any, Any, T]]) -> T:
        asked_at = monotonic_seconds()
        try:
            answer = await look_up()
        except DatabaseUnavailableError:
            self._note_failure(asked_at)
            raise
        self._answered_at = monotonic_seconds()
        if self._retry_at is not None:
            self._retry_at = None
            _log.info("database_answers_again")
        return answer

    def _note_failure(self, asked_at: float) -> None:
        if self._feed.connected or asked_at < self._answered_at:
            return
        # From the question on: one that was waited for long says little about now.
        retry_at = asked_at + RETRY_SECONDS
        if self._retry_at is None:
            _log.warning("database_away", believed_seconds=self._believe_seconds)
        else:
            retry_at = max(retry_at, self._retry_at)
        self._retry_at = retry_at
