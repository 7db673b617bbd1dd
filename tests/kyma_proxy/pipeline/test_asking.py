from __future__ import annotations

import pytest

from kyma_proxy.pipeline.asking import Asking, AskingProvider
from kyma_proxy.testing.flows import make_flow


class Trace:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def asking(self, upstream: str) -> str:
        self.told.append(upstream)
        return "00-1-2-01"

    def answered(self, status: int | None) -> None:
        self.told.append(status)


def test_a_question_has_a_span_and_takes_a_while() -> None:
    flow, trace = make_flow(), Trace()
    flow.trace = trace
    with Asking(flow, "origin") as asking:
        assert flow.traceparent == "00-1-2-01"
        asking.status = 404
    assert trace.told == ["origin", 404]
    assert asking.milliseconds >= 0
    assert flow.facts == {}


def test_a_question_without_an_answer_has_failed() -> None:
    flow, trace = make_flow(), Trace()
    flow.trace = trace
    with pytest.raises(ValueError, match="no answer"), Asking(flow, "origin"):
        raise ValueError("no answer")
    assert trace.told == ["origin", None]


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_provider_took_is_told_whether_or_not_it_did_what_it_was_asked(fails: bool) -> None:
    flow, trace = make_flow(), Trace()
    flow.trace = trace
    try:
        with AskingProvider(flow, "minimax"):
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert flow.facts["upstream"] == "minimax"
    assert isinstance(flow.facts["provider_ms"], float)
    assert trace.told == ["minimax", None if fails else 200]


def test_without_a_trace_there_is_only_the_time() -> None:
    flow = make_flow()
    with AskingProvider(flow, "minimax"):
        pass
    assert flow.traceparent is None
    assert set(flow.facts) == {"upstream", "provider_ms"}
