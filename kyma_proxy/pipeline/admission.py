"""How many requests of one account are under way at once; more wait in line for a while, then are refused.

Kyma's rule is concurrency per user and provider, not a rate (public API, section 7). Each account has a line of its
own, so that whoever asks for much waits behind itself alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import MappingProxyType
from typing import Final

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import ErrorCode, NotAdmittedError
from kyma_proxy.flow import Flow
from kyma_proxy.settings import Settings

_RETRY_AFTER: Final = {"Retry-After": "1"}


class _Line:
    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Shares:
    """At most `limit` at once for each key. Up to `waiting_max` more wait their turn, in order, `wait_seconds` each."""

    def __init__(self, limit: int, waiting_max: int, wait_seconds: float) -> None:
        self._limit = limit
        self._waiting_max = waiting_max
        self._wait_seconds = wait_seconds
        self._lines: dict[str, _Line] = {}

    def __repr__(self) -> str:
        return f"Shares({len(self._lines)} keys, {self._limit} each)"

    async def take(self, key: str) -> None:
        """Take a place, to be given back once. Raises NotAdmittedError."""
        line = self._lines.setdefault(key, _Line())
        if line.running < self._limit:
            line.running += 1
            return
        if len(line.waiting) >= self._waiting_max:
            raise _too_many(self._limit)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await place
        except TimeoutError as error:
            self._leave(key, line, place)
            raise _too_many(self._limit) from error
        except asyncio.CancelledError:
            self._leave(key, line, place)
            raise

    def give_back(self, key: str) -> None:
        """A place is free again: the next in line has it."""
        line = self._lines[key]
        while line.waiting:
            place = line.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        line.running -= 1
        if not line.running:
            del self._lines[key]

    def _leave(self, key: str, line: _Line, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self.give_back(key)  # it was given a place at the very moment
        elif place in line.waiting:
            line.waiting.remove(place)


class Admission:
    """The limits of one configuration; each of several processes admits its part, at least one."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server

        def shares(limit: int | None) -> Shares | None:
            if limit is None:
                return None
            return Shares(max(1, limit // server.workers), server.max_waiting_per_account, server.max_waiting_seconds)

        self._account = shares(server.max_requests_per_account)
        made = {name: shares(each.max_requests_per_account) for name, each in settings.upstreams.items()}
        self._upstreams = MappingProxyType({name: each for name, each in made.items() if each is not None})

    async def enter(self, flow: Flow, upstream: str) -> Admitted:
        """Wait until this request may go to an upstream. Raises NotAdmittedError; nobody upstream was asked then.

        A request without an account is nobody's to limit.
        """
        admitted = Admitted()
        account = None if flow.identity is None else flow.identity.account_id
        limits = [each for each in (self._account, self._upstreams.get(upstream)) if each is not None]
        if account is None or not limits:
            return admitted
        started = monotonic_seconds()
        try:
            for limit in limits:
                await limit.take(account)
                admitted.taken.append((limit, account))
        except BaseException:
            admitted.leave()
            raise
        finally:
            flow.facts["queued_ms"] = round((monotonic_seconds() - started) * 1000, 1)
        return admitted


class Admitted:
    """Places that a request has taken; leaving again does nothing."""

    def __init__(self) -> None:
        self.taken: list[tuple[Shares, str]] = []

    def __enter__(self) -> Admitted:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the places back."""
        while self.taken:
            shares, key = self.taken.pop()
            shares.give_back(key)


def _too_many(limit: int) -> NotAdmittedError:
    return NotAdmittedError(
        ErrorCode.RATE_LIMITED,
        f"Too many requests of this account are under way; {limit} at once are served. Try again shortly.",
        headers=_RETRY_AFTER,
    )
