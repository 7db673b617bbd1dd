"""What goes wrong at a failpoint, once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
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


DoHarm = Callable[[Any], Awaitable[None]]


class Faulty:
    """Failpoints at some of which something goes wrong, each the first time it is passed."""

    def __init__(self, harms: Mapping[Failpoint, DoHarm]) -> None:
        self.passed: list[Failpoint] = []
        self._harms = dict(harms)

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        """Do the harm that is meant for this point."""
        harm = self._harms.pop(point, None)
        if harm is not None:
            self.passed.append(point)
            await harm(subject)


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


Cut = Callable[[], Awaitable[None]]


def harm_of(point: Failpoint, harm: Harm, cut: Cut) -> DoHarm:
    """What to do at a point for a harm that leaves the process alive; `cut` takes the database away from it."""
    if harm is Harm.EXCEPTION:
        return fail
    if harm is Harm.HANG:
        return hang
    if harm is Harm.LOST and point.value.startswith("provider."):
        return lose_provider
    if harm is Harm.LOST and point in (Failpoint.REPLY, Failpoint.REPLIED):
        return lose_client

    async def cut_lines(_subject: Any) -> None:
        await cut()
        if point.value.endswith(".committed"):
            # The server has done it, and its answer went down with the line.
            raise ConnectionResetError("injected")

    return cut_lines
