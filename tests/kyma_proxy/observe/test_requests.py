from __future__ import annotations

from structlog.testing import capture_logs

from kyma_proxy.flow import Identity
from kyma_proxy.observe.endings import Ending, EndReason
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.observe.requests import RequestObserver, RequestRecord


def test_one_line_with_everything_an_operator_asks_for() -> None:
    observer = RequestObserver(Metrics())
    record = RequestRecord("req_1", "POST", "/v1/audio/voice-clone")
    record.status, record.error_code = 402, "insufficient_credits"
    record.ending = Ending(EndReason.REFUSED, "voice_clone")
    record.identity = Identity("acct_1", "key_1")
    record.duration_seconds, record.bytes_in, record.bytes_out = 0.01234, 10, 20
    record.facts = {
        "route": "/v1/audio/voice-clone",
        "plugin": "voice_clone",
        "seconds": 12.5,
        "status": 1,
        "event": "x",
    }
    observer.started()
    with capture_logs() as lines:
        observer.ended(record)
    assert lines == [
        {
            "event": "request",
            "log_level": "info",
            "request_id": "req_1",
            "method": "POST",
            "path": "/v1/audio/voice-clone",
            "route": "/v1/audio/voice-clone",
            "status": 402,
            "account_id": "acct_1",
            "key_id": "key_1",
            "duration_ms": 12.3,
            "first_byte_ms": None,
            "overhead_ms": None,
            "bytes_in": 10,
            "bytes_out": 20,
            "reason": "refused",
            "by": "voice_clone",
            "code": "insufficient_credits",
            "plugin": "voice_clone",
            "seconds": 12.5,
        }
    ]


def test_what_never_became_a_request_is_logged_too() -> None:
    metrics = Metrics()
    with capture_logs() as lines:
        RequestObserver(metrics).refused_unread(RequestRecord("req_1", status=400))
    assert (lines[0]["reason"], lines[0]["route"], lines[0]["plugin"]) == ("malformed", "none", None)
    assert metrics.registry.get_sample_value("kyma_requests_in_flight") == 0
    labels = {"method": "other", "route": "none", "status": "400"}
    assert metrics.registry.get_sample_value("kyma_requests_total", labels) == 1
