"""What goes wrong at a failpoint, once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from kyma_proxy.failpoints import Failpoint
from kyma_proxy.upstreams.errors import FailureKind, TransportError

HANG_SECONDS = 1.5
"""Longer than a lease of the proof, which is renewed meanwhile: the process lives."""


class Harm(StrEnum):
    """One way of going wrong."""

    EXCEPTION = "exception"
    """A fault of our own code."""
    HANG = "hang"
    """The step takes longer than anybody waits for; the process lives."""
    LOST = "lost line"
    """The line that the step uses is cut: to the database, the provider, or the client."""
    KILLED = "SIGKILL"
    """The process is gone."""
    FROZEN = "frozen"
    """The process stands still until its leases have run out, then goes on as if nothing had been."""
    OUTAGE = "outage"
    """PostgreSQL is stopped at once, and started again a second later."""


class FaultyOnce:
    """Failpoints at one of which something goes wrong, the first time it is passed."""

    def __init__(self, point: Failpoint, harm: Callable[[Any], Awaitable[None]]) -> None:
        self.point = point
        self.passed = asyncio.Event()
        self._harm = harm

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        """Do harm at the chosen point."""
        if point is self.point and not self.passed.is_set():
            self.passed.set()
            await self._harm(subject)


class InjectedError(Exception):
    """What a fault of our own code looks like."""


async def fail(_subject: Any) -> None:
    """Raise what nobody expects."""
    raise InjectedError("injected")


async def hang(_subject: Any) -> None:
    """Take long."""
    await asyncio.sleep(HANG_SECONDS)


async def kill(_subject: Any) -> None:
    """End this process at once: no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


async def freeze(_subject: Any) -> None:
    """Stand still until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


async def lose_provider(_subject: Any) -> None:
    """As if the provider's answer had been lost after the request was sent."""
    raise TransportError(FailureKind.BROKEN, "injected")


async def lose_client(request: Any) -> None:
    """Cut the client's connection."""
    request.transport.abort()
