"""The loop that is asked for is the loop that runs."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys

import pytest

from kyma_proxy.loops import (
    LoopMissingError,
    LoopName,
    loop_factory,
    raise_file_limit,
    run_on,
    settle_garbage_collector,
)


async def module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_it_runs_on_the_loop_of_that_name(name: LoopName) -> None:
    assert run_on(name, module()) == name


def test_a_loop_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(LoopMissingError, match="event_loop: asyncio"):
        loop_factory("uvloop")
    with pytest.raises(LoopMissingError):
        run_on("uvloop", module())


def test_as_many_files_may_be_opened_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda what, to: limits.update(now=to))
    assert raise_file_limit() == 4096

    def refuse(what: int, to: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits["now"] = (1024, 1 << 62)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_file_limit() == 1024


def test_the_collector_looks_seldom_and_not_at_what_was_there() -> None:
    before = gc.get_threshold()
    try:
        settle_garbage_collector()
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
