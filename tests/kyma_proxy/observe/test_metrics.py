from __future__ import annotations

import pytest

from kyma_proxy import __version__
from kyma_proxy.observe.endings import Ending, EndReason
from kyma_proxy.observe.metrics import Metrics, Phases


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_request_from_start_to_end() -> None:
    metrics = Metrics()
    metrics.request_started()
    assert value(metrics, "kyma_requests_in_flight") == 1
    metrics.request_ended("POST", "/v1/audio/voice-clone", 402, Ending(EndReason.REFUSED, "voice_clone"), 0.3)
    assert value(metrics, "kyma_requests_in_flight") == 0
    labels = {"method": "POST", "route": "/v1/audio/voice-clone", "status": "402"}
    assert value(metrics, "kyma_requests_total", **labels) == 1
    assert value(metrics, "kyma_requests_ended_total", reason="refused", by="voice_clone") == 1
    assert value(metrics, "kyma_requests_ended_total", reason="client_left", by="in_body") == 0
    assert value(metrics, "kyma_request_seconds_count", route="/v1/audio/voice-clone") == 1


def test_a_client_cannot_invent_labels() -> None:
    metrics = Metrics()
    for method in ("BREW", "PROPFIND", "-"):
        metrics.count_answer(method, "none", None, Ending(EndReason.MALFORMED))
    assert value(metrics, "kyma_requests_total", method="other", route="none", status="none") == 3


def test_two_sets_of_metrics_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.request_started()
    assert value(second, "kyma_requests_in_flight") == 0


def test_where_the_time_of_a_request_went() -> None:
    metrics = Metrics()
    metrics.request_took("/v1/audio/**", "origin", Phases(first_byte=0.5, upstream=0.3, queued=0.1))
    metrics.request_took("/v1/audio/**", None, Phases(first_byte=0.2))
    metrics.request_took("/v1/audio/**", "origin", Phases())
    of_route = {"route": "/v1/audio/**"}
    assert value(metrics, "kyma_request_first_byte_seconds_count", **of_route) == 2
    assert value(metrics, "kyma_overhead_seconds_count", **of_route) == 1
    assert value(metrics, "kyma_overhead_seconds_sum", **of_route) == pytest.approx(0.1)
    assert value(metrics, "kyma_upstream_first_byte_seconds_sum", upstream="origin") == pytest.approx(0.3)
    assert value(metrics, "kyma_queue_seconds_sum") == pytest.approx(0.1)


def test_bytes_connections_and_which_gateway_it_is() -> None:
    metrics = Metrics()
    metrics.count_bytes(3, 0)
    metrics.count_bytes(0, 5)
    metrics.connected()
    metrics.connected()
    metrics.disconnected()
    assert value(metrics, "kyma_request_bytes_total", direction="in") == 3
    assert value(metrics, "kyma_request_bytes_total", direction="out") == 5
    assert value(metrics, "kyma_connections") == 1
    assert value(metrics, "kyma_build_info", version=__version__) == 1
