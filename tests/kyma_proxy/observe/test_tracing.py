"""Traces: where they are made, what they continue, and what they never say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from kyma_proxy.observe import tracing as tracing_module
from kyma_proxy.observe.endings import Ending, EndReason
from kyma_proxy.observe.requests import RequestRecord
from kyma_proxy.observe.tracing import Tracing, require_tracing
from kyma_proxy.settings import ConfigError, TracingSettings, load_settings
from kyma_proxy.testing.flows import make_flow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ON = TracingSettings(endpoint="http://127.0.0.1:9/v1/traces", sample_ratio=1.0)


async def test_a_clients_trace_is_continued_and_handed_on() -> None:
    tracing = Tracing(ON)
    flow = make_flow("GET", "/v1/audio/voices", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    trace = tracing.begin(flow)
    handed_on = trace.asking("origin")
    assert handed_on.split("-")[1] == TRACE
    assert handed_on.split("-")[2] != "00f067aa0ba902b7"
    assert handed_on.endswith("-01")
    assert flow.facts["trace_id"] == TRACE
    trace.answered(200)
    trace.end(RequestRecord("req_1", "GET", "/v1/audio/voices", 200, Ending(EndReason.COMPLETED)))


async def test_what_is_not_sampled_is_handed_on_as_such() -> None:
    tracing = Tracing(ON.model_copy(update={"sample_ratio": 0.0}))
    flow = make_flow("GET", "/v1/audio/voices")
    flags = int(tracing.begin(flow).asking("origin").rpartition("-")[2], 16)
    assert not flags & 1


def test_missing_packages_are_told_with_their_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text('version: 1\nserver:\n  tracing: {endpoint: "http://127.0.0.1:4318/v1/traces"}\n')
    settings = load_settings(path, plugins={}, environ={})
    require_tracing(settings)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        tracing_module, "find_spec", lambda name: None if name.startswith("opentelemetry") else find_spec(name)
    )
    with pytest.raises(ConfigError) as caught:
        require_tracing(settings)
    problem = caught.value.problems[0]
    assert (problem.line, problem.column) == (3, 12)
    assert "kyma-proxy[tracing]" in problem.message
