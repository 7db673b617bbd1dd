"""What a process serves on: its event loop, and how many files it may open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, TypeVar

T = TypeVar("T")
_YOUNG_OBJECTS_MAX: Final = 20_000
LoopName = Literal["asyncio", "uvloop"]


class LoopMissingError(Exception):
    """The configured event loop is not installed."""


def loop_factory(name: LoopName) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop of that name. Raises LoopMissingError where it is not installed."""
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError as error:
        raise LoopMissingError("uvloop is not installed here; set server.event_loop: asyncio") from error
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def raise_file_limit() -> int:
    """Let this process open as many files as it may at all; how many. A connection is one, and so is its upstream's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems name a hard limit that nobody may have
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def settle_garbage_collector() -> None:
    """Have the collector look seldom, and not at what is here already; to be called once everything has started.

    A request leaves no cycles behind to speak of, yet with Python's own threshold the collector walks over all that is
    in flight several times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS_MAX, 10, 10)


def run_on(name: LoopName, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end on a new loop, as `asyncio.run` does. Raises LoopMissingError, and what `work` raises."""
    try:
        factory = loop_factory(name)
    except LoopMissingError:
        work.close()
        raise
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
