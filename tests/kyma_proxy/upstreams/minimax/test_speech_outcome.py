"""What is logged and noted of each way a call for speech can go."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import capture_logs

from kyma_proxy.errors import ErrorCode
from kyma_proxy.flow import Flow
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax.calls import Calls, Credentials
from kyma_proxy.upstreams.minimax.errors import meaning_of
from kyma_proxy.upstreams.minimax.speech_outcome import SpeechOutcome
from kyma_proxy.upstreams.minimax.wire import Answer
from kyma_proxy.upstreams.transport import IncomingReply, Transport


@pytest.fixture
def flow() -> Flow:
    return make_flow(path="/v1/audio/speech")


@pytest.fixture
def outcome(flow: Flow, quick: Any) -> SpeechOutcome:
    structlog.reset_defaults()
    calls = Calls(Transport("https://api.minimax.test", quick), Credentials(SecretStr("sk-secret")))
    made = SpeechOutcome(flow, calls, "/v1/t2a_v2")
    head: Any = IncomingReply(200, "OK", ((b"Trace-Id", b"06a1"),), None)  # type: ignore[arg-type]
    made.answered(head)
    return made


def test_success(flow: Flow, outcome: SpeechOutcome) -> None:
    with capture_logs() as logs:
        outcome.audio_began()
        outcome.spoken({"extra_info": {"usage_characters": 27}})
    (line,) = logs
    assert (line["event"], line["call"], line["request_id"]) == ("provider_called", "/v1/t2a_v2", "req_test")
    assert (line["http_status"], line["trace_id"], line["usage_characters"]) == (200, "06a1", 27)
    assert 0 <= line["first_audio_seconds"] <= line["seconds"] < 5
    assert flow.facts == {"usage_characters": 27}


def test_success_without_figures(flow: Flow, outcome: SpeechOutcome) -> None:
    outcome.spoken({})
    assert flow.facts == {}


@pytest.mark.parametrize("code", [1004, 1008, 2049, 2056, 2061])
def test_the_operators_fault_pages_with_words_that_the_client_never_sees(
    code: int, flow: Flow, outcome: SpeechOutcome
) -> None:
    with capture_logs() as logs:
        error = outcome.refused(Answer(meaning=meaning_of(code), code=code, message="key sk-secret: 0/0 used"))
    (line,) = logs
    assert (line["event"], line["log_level"], line["code"]) == ("provider_operator_fault", "error", code)
    assert line["message"] == "key [key]: 0/0 used"
    assert (error.code, error.should_retry, "used" in error.message) == (ErrorCode.PROVIDER_ERROR, False, False)
    assert flow.facts == {"provider_code": code}


def test_a_model_the_provider_does_not_know_pages(outcome: SpeechOutcome) -> None:
    with capture_logs() as logs:
        error = outcome.refused(Answer(meaning=meaning_of(2013), code=2013, message="not have model: speech-02-hd"))
    assert [line["event"] for line in logs] == ["provider_operator_fault"]
    assert error.code is ErrorCode.PROVIDER_ERROR


def test_other_failures_warn(flow: Flow, outcome: SpeechOutcome) -> None:
    with capture_logs() as logs:
        errors = [
            outcome.refused(Answer(meaning=meaning_of(2054), code=2054)),
            outcome.unusable("the answer has no audio"),
            outcome.lost(TransportError(FailureKind.SILENT, "nothing came")),
        ]
    assert {line["event"] for line in logs} == {"provider_call_failed"}
    assert [line.get("failure") for line in logs] == [None, "the answer has no audio", "silent: nothing came"]
    codes = [ErrorCode.VOICE_NOT_FOUND, ErrorCode.PROVIDER_ERROR, ErrorCode.UPSTREAM_TIMEOUT]
    assert [error.code for error in errors] == codes
    assert flow.facts == {"provider_code": 2054, "upstream_failure": "silent"}


def test_a_call_that_is_cut_leaves_its_line_and_one_that_ended_no_second_one(outcome: SpeechOutcome) -> None:
    with capture_logs() as logs:
        outcome.audio_began()
        outcome.cut()
        outcome.cut()
    (line,) = logs
    assert (line["event"], line["log_level"], line["trace_id"]) == ("provider_call_cut", "info", "06a1")
    assert 0 <= line["first_audio_seconds"] <= line["seconds"] < 5


def test_what_has_ended_is_not_cut(outcome: SpeechOutcome) -> None:
    with capture_logs() as logs:
        outcome.spoken({})
        outcome.cut()
    assert [line["event"] for line in logs] == ["provider_called"]
