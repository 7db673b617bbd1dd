from __future__ import annotations

from kyma_proxy.observe.endings import Ending, EndReason
from kyma_proxy.observe.metrics import Metrics


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
