"""How many requests of one account are under way at once; more wait in line for a while, then are refused.

Kyma's rule is concurrency per user and provider, not a rate (public API, section 7). Each account has a line of its
own, so that whoever asks for much waits behind itself alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import MappingProxyType
from typing import Final, Protocol

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import ErrorCode, NotAdmittedError
from kyma_proxy.flow import Flow
from kyma_proxy.settings import Settings
from kyma_proxy.tasks import Tasks

IDLE_SECONDS: Final = 2.0
"""How long leased places are kept for an account's next request."""
ASK_AGAIN_SECONDS: Final = 0.05
_RETRY_AFTER: Final = {"Retry-After": "1"}


class Lessor(Protocol):
    """Leases places that processes share; see `kyma_proxy.supervisor.slices`."""

    async def lease(self, key: str, limit: int, wanted: int) -> int:
        """Up to `wanted` places of a key that has `limit` in all; how many there were."""

    def give_back(self, key: str, places: int) -> None:
        """Places that are not needed any more."""


class _Line:
    __slots__ = ("allotted", "idle_timer", "leasing", "owes", "running", "waiting")

    def __init__(self, allotted: int) -> None:
        self.allotted = allotted
        """How many may run; less than the limit where processes share it."""
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.leasing = False
        self.owes = False
        """Whether another process waits for the next place that is free."""
        self.idle_timer: asyncio.TimerHandle | None = None


class Shares:
    """At most `limit` at once for each key. Up to `waiting_max` more wait their turn, in order, `wait_seconds` each.

    With a `lessor` the places of a key are shared with other processes; `name` sets them apart from other limits'.
    """

    def __init__(
        self,
        limit: int,
        waiting_max: int,
        wait_seconds: float,
        *,
        name: str = "",
        lessor: Lessor | None = None,
        tasks: Tasks | None = None,
    ) -> None:
        self._limit = limit
        self._waiting_max = waiting_max
        self._wait_seconds = wait_seconds
        self._name = name
        self._lessor = lessor
        self._tasks = tasks or Tasks()
        self._lines: dict[str, _Line] = {}

    def __repr__(self) -> str:
        return f"Shares({len(self._lines)} keys, {self._limit} each)"

    async def take(self, key: str) -> None:
        """Take a place, to be given back once. Raises NotAdmittedError."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(self._limit if self._lessor is None else 0)
        if line.idle_timer is not None:
            line.idle_timer.cancel()
            line.idle_timer = None
        if line.running < line.allotted and not line.waiting:
            line.running += 1
            return
        # What can still be leased is not waited for in the line.
        if len(line.waiting) >= self._waiting_max + (self._limit - line.allotted):
            raise _too_many(self._limit)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(place)
        self._lease_more(key, line)
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
        line.running -= 1
        if line.owes and self._lessor is not None:
            line.owes = False
            line.allotted -= 1
            self._lessor.give_back(self._name + key, 1)
            if line.waiting:
                self._lease_more(key, line)  # behind whoever waits elsewhere
        self._serve(line)
        if line.running or line.waiting or line.leasing:
            return
        if self._lessor is None:
            del self._lines[key]
        elif line.idle_timer is None:
            loop = asyncio.get_running_loop()
            line.idle_timer = loop.call_later(IDLE_SECONDS, self._return_idle, key)

    def take_back(self, shared_key: str) -> int:
        """Another process needs places of a key as the lessor calls it; how many idle ones this one gives up."""
        key = shared_key.removeprefix(self._name)
        line = self._lines.get(key)
        if line is None:
            return 0
        idle = line.allotted - line.running
        line.allotted -= idle
        line.owes = not idle and line.running > 0
        if not line.running and not line.leasing:
            self._forget(key, line)
        return idle

    def _serve(self, line: _Line) -> None:
        while line.waiting and line.running < line.allotted:
            place = line.waiting.popleft()
            if not place.done():
                line.running += 1
                place.set_result(None)

    def _leave(self, key: str, line: _Line, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self.give_back(key)  # it was given a place at the very moment
        elif place in line.waiting:
            line.waiting.remove(place)
            if not line.running and not line.waiting and self._lessor is None:
                self._lines.pop(key, None)

    def _lease_more(self, key: str, line: _Line) -> None:
        if self._lessor is not None and not line.leasing and line.allotted < self._limit:
            line.leasing = True
            self._tasks.spawn(self._lease(key, line, self._lessor), name="lease places")

    async def _lease(self, key: str, line: _Line, lessor: Lessor) -> None:
        """Lease until nobody waits here, or this process has all places there are."""
        try:
            while line.waiting and line.allotted < self._limit:
                wanted = min(len(line.waiting), self._limit - line.allotted)
                granted = await lessor.lease(self._name + key, self._limit, wanted)
                line.allotted += granted
                self._serve(line)
                if not granted:
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
        finally:
            line.leasing = False
        if not line.running and not line.waiting:
            self._return_idle(key)

    def _return_idle(self, key: str) -> None:
        line = self._lines.get(key)
        if line is None or line.running or line.waiting or line.leasing:
            return
        if line.allotted and self._lessor is not None:
            self._lessor.give_back(self._name + key, line.allotted)
        self._forget(key, line)

    def _forget(self, key: str, line: _Line) -> None:
        if line.idle_timer is not None:
            line.idle_timer.cancel()
        self._lines.pop(key, None)


class Admission:
    """The limits of one configuration. Where several processes serve it, `lessor` leases them their places."""

    def __init__(self, settings: Settings, lessor: Lessor | None = None, tasks: Tasks | None = None) -> None:
        server = settings.server

        def shares(limit: int | None, name: str) -> Shares | None:
            if limit is None:
                return None
            waiting_max, seconds = server.max_waiting_per_account, server.max_waiting_seconds
            return Shares(limit, waiting_max, seconds, name=f"{name} ", lessor=lessor, tasks=tasks)

        self._account = shares(server.max_requests_per_account, "")
        made = {name: shares(each.max_requests_per_account, name) for name, each in settings.upstreams.items()}
        self._upstreams = MappingProxyType({name: each for name, each in made.items() if each is not None})

    def take_back(self, key: str) -> int:
        """Another process needs places of this key; how many idle ones this one gives up."""
        name = key.partition(" ")[0]
        shares = self._upstreams.get(name) if name else self._account
        return 0 if shares is None else shares.take_back(key)

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
