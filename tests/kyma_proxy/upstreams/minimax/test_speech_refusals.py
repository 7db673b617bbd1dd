"""The provider's codes as its table has them, and what a client is told of each."""

from __future__ import annotations

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax.errors import CODES, Fault, meaning_of, meaning_of_status
from kyma_proxy.upstreams.minimax.speech_refusals import as_said_of_speech, failure_of, refusal_of, unusable
from kyma_proxy.upstreams.minimax.wire import Answer

WORDS = "quota of team-17 (59/60 used) resets at 2026-11-23T00:00:00Z"


def told(code: int, message: str = WORDS) -> GatewayError:
    error = refusal_of(as_said_of_speech(Answer(meaning=meaning_of(code), code=code, message=message)))
    assert not message or message not in error.message
    assert not {"team-17", "MiniMax", "minimax", str(code)} & set(error.message.replace(".", " ").split())
    assert error.code.status not in (401, 402, 403)
    return error


EXPECTED = {
    ErrorCode.UPSTREAM_TIMEOUT: {1001},
    ErrorCode.RATE_LIMITED: {1002, 1039, 1041, 2045},
    ErrorCode.CONTENT_POLICY: {1026, 1027},
    ErrorCode.INVALID_REQUEST: {1042, 2013},
    ErrorCode.VOICE_NOT_FOUND: {2042, 2054, 20132},
}


@pytest.mark.parametrize("code", [*CODES, 9999, 2201])
def test_every_code_becomes_what_the_contract_says(code: int) -> None:
    expected = next((error for error, codes in EXPECTED.items() if code in codes), ErrorCode.PROVIDER_ERROR)
    error = told(code)
    assert error.code is expected
    assert error.should_retry is (expected is ErrorCode.RATE_LIMITED)
    assert error.headers == ({"Retry-After": "5"} if expected is ErrorCode.RATE_LIMITED else {})


def test_every_cause_of_an_unknown_voice_looks_the_same() -> None:
    answers = [told(2054), told(2042, ""), told(20132), told(2013, "invalid params, voice id wrong")]
    answers += [told(2013, "invalid params, voice_id first character"), told(2013, "Voice_ID does not exist")]
    assert len({(error.code, error.message, error.should_retry) for error in answers}) == 1


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("invalid params: voice_setting speed", "`speed`"),
        ("invalid params, timber_weights", "`timbre_weights`"),
        ("invalid params, text too long", "`input`"),
        ("invalid params, audio_setting format", "`response_format`"),
        ("invalid params, sample_rate", "`response_format`"),
        ("invalid params, empty field", "a value of this request"),
        ("", "a value of this request"),
    ],
)
def test_a_refused_parameter_is_named_by_its_public_name(message: str, field: str) -> None:
    error = told(2013, message)
    assert error.code is ErrorCode.INVALID_REQUEST
    assert field in error.message


def test_a_model_that_the_provider_does_not_know_is_a_fault_of_our_configuration() -> None:
    answer = Answer(meaning=meaning_of(2013), code=2013, message="invalid params, method t2a-v2 not have model: x")
    meant = as_said_of_speech(answer)
    assert meant.meaning is not None
    assert meant.meaning.fault is Fault.OPERATOR
    assert refusal_of(meant).code is ErrorCode.PROVIDER_ERROR
    about_a_voice = Answer(meaning=meaning_of(2013), code=2013, message="voice_id not usable with this model")
    assert as_said_of_speech(about_a_voice) is about_a_voice


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, ErrorCode.PROVIDER_ERROR),
        (402, ErrorCode.PROVIDER_ERROR),
        (403, ErrorCode.PROVIDER_ERROR),
        (404, ErrorCode.PROVIDER_ERROR),
        (400, ErrorCode.PROVIDER_ERROR),
        (302, ErrorCode.PROVIDER_ERROR),
        (429, ErrorCode.RATE_LIMITED),
        (500, ErrorCode.PROVIDER_ERROR),
        (502, ErrorCode.PROVIDER_ERROR),
        (504, ErrorCode.PROVIDER_ERROR),
    ],
)
def test_a_status_without_a_code(status: int, code: ErrorCode) -> None:
    assert refusal_of(Answer(meaning=meaning_of_status(status))).code is code


@pytest.mark.parametrize(
    ("kind", "code", "should_retry"),
    [
        (FailureKind.REFUSED, ErrorCode.PROVIDER_ERROR, True),
        (FailureKind.UNREACHABLE, ErrorCode.PROVIDER_ERROR, False),
        (FailureKind.BROKEN, ErrorCode.PROVIDER_ERROR, False),
        (FailureKind.SILENT, ErrorCode.UPSTREAM_TIMEOUT, False),
    ],
)
def test_a_failed_exchange(kind: FailureKind, code: ErrorCode, should_retry: bool) -> None:
    error = failure_of(TransportError(kind, "detail"))
    assert (error.code, error.should_retry) == (code, should_retry)
    assert "detail" not in error.message


def test_an_unusable_success() -> None:
    assert (unusable().code, unusable().should_retry) == (ErrorCode.PROVIDER_ERROR, False)
