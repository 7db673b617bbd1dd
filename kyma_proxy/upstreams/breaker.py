"""A breaker: what has failed again and again is left alone for a while, and then looked at before it is used."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import StrEnum

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.settings import BreakerSettings

JITTER = 0.1
"""Pauses differ by so much, so that processes do not come back all at once."""


class BreakerState(StrEnum):
    """Whether requests may go through."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """Opens after so many failures with no success in between; half-opens for a probe when its pause is over.

    A probe that succeeds closes it on probation: the next failure opens it again, for twice as long. Only connections
    are probed, never requests, because those may cost money. `told` hears of each change.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        told: Callable[[BreakerState], None] = lambda state: None,
        *,
        now: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._settings = settings
        self._told = told
        self._now = now
        self._failures = 0
        self._pause_seconds = settings.open_seconds
        self._open_until = 0.0
        self.state = BreakerState.CLOSED

    def __repr__(self) -> str:
        return f"Breaker({self.state}, {self._failures} failures)"

    @property
    def admits(self) -> bool:
        """Whether a request may go through."""
        return self.state is BreakerState.CLOSED

    @property
    def wait_seconds(self) -> float:
        """How long until the next probe; 0 where none is waited for."""
        return max(0.0, self._open_until - self._now()) if self.state is BreakerState.OPEN else 0.0

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures = 0
        if self.state is BreakerState.CLOSED:
            self._pause_seconds = self._settings.open_seconds

    def failed(self) -> bool:
        """A request failed; True where that opened the breaker."""
        self._failures += 1
        if self.state is not BreakerState.CLOSED or self._failures < self._settings.failures:
            return False
        self._open()
        return True

    def probing(self) -> None:
        """The pause is over, and a connection is tried."""
        self._change(BreakerState.HALF_OPEN)

    def probed(self, *, reachable: bool) -> None:
        """The probe has ended."""
        if reachable:
            self._failures = self._settings.failures - 1
            self._change(BreakerState.CLOSED)
        else:
            self._open()

    def _open(self) -> None:
        seconds = self._pause_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        self._open_until = self._now() + seconds
        self._pause_seconds = min(self._pause_seconds * 2, self._settings.open_seconds_max)
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self.state = state
        self._told(state)
