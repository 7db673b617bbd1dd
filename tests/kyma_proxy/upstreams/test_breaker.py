"""The states of a breaker, by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kyma_proxy.settings import BreakerSettings
from kyma_proxy.upstreams.breaker import JITTER, Breaker, BreakerState

SETTINGS = BreakerSettings(failures=3, open_seconds=2, open_seconds_max=8)


class Clock:
    """Time that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    told: list[BreakerState] = []
    breaker = Breaker(SETTINGS, told.append)
    for _ in range(5):
        assert not breaker.failed()
        assert not breaker.failed()
        breaker.succeeded()
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    assert not breaker.admits
    assert not breaker.failed(), "what was under way says nothing new"
    assert told == [BreakerState.OPEN]


def test_its_pauses_grow_until_it_has_closed_for_good() -> None:
    clock = Clock()
    breaker = Breaker(SETTINGS, now=clock)
    for _ in range(3):
        breaker.failed()
    for expected in (2, 4, 8, 8):
        assert breaker.wait_seconds == pytest.approx(expected, rel=JITTER)
        clock.now += breaker.wait_seconds
        assert breaker.wait_seconds == 0
        breaker.probing()
        assert (breaker.state, breaker.admits) == (BreakerState.HALF_OPEN, False)
        breaker.probed(reachable=False)
    breaker.probing()
    breaker.probed(reachable=True)
    assert breaker.admits
    assert breaker.failed(), "it is on probation"
    assert breaker.wait_seconds == pytest.approx(8, rel=JITTER)
    breaker.probing()
    breaker.probed(reachable=True)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed()
    assert breaker.wait_seconds == pytest.approx(2, rel=JITTER)


class Model(RuleBasedStateMachine):
    """A breaker beside the rules in plain words."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(SETTINGS, now=self.clock)
        self.in_a_row = 0
        self.open = False

    @rule(times=st.integers(1, 4))
    def fail(self, times: int) -> None:
        for _ in range(times):
            self.in_a_row += 1
            opened = self.breaker.failed()
            assert opened == (not self.open and self.in_a_row >= 3)
            self.open |= opened

    @precondition(lambda self: not self.open)
    @rule()
    def succeed(self) -> None:
        self.in_a_row = 0
        self.breaker.succeeded()

    @precondition(lambda self: self.open)
    @rule(reachable=st.booleans())
    def probe(self, reachable: bool) -> None:
        self.clock.now += self.breaker.wait_seconds
        self.breaker.probing()
        self.breaker.probed(reachable=reachable)
        if reachable:
            self.open, self.in_a_row = False, 2

    @invariant()
    def admits_while_closed(self) -> None:
        assert self.breaker.admits == (not self.open)
        assert 0 <= self.breaker.wait_seconds <= 8 * (1 + JITTER)
        assert (self.breaker.wait_seconds > 0) == self.open


TestModel = Model.TestCase
TestModel.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
