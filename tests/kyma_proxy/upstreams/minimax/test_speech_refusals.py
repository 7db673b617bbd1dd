"""The provider's codes as its table has them, and what a client is told of each."""

from __future__ import annotations

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax.errors import CODES, Fault, meaning_of, meaning_of_status
from kyma_proxy.upstreams.minimax.speech_refusals import (
    as_said_of_speech,
    failure_of,
    no_such_voice,
    refusal_of,
    unusable,
)
from kyma_proxy.upstreams.minimax.wire import Answer

WORDS = "quota of team-17 (59/60 used) resets at 2026-11-23T00:00:00Z"


def told(code: int, message: str = WORDS) -> GatewayError:
    error = refusal_of(as_said_of_speech(Answer(meaning=meaning_of(code), code=code, message=message)))
    assert not message or message not in error.message
    assert not {"team-17", "MiniMax", "minimax", str(code)} & set(error.message.replace(".", " ").split())
    assert error.code.status not in (401, 402, 403)
    return error


# The answers that the reference of the provider's errors asks for, row by row, except that every fault of the
# operator's is 502 for us.
ANSWERS = """
1000 502 provider_error
1001 504 upstream_timeout
1002 429 rate_limited
1004 502 provider_error
1008 502 provider_error
1013 502 provider_error
1024 502 provider_error
1026 400 content_policy
1027 400 content_policy
1033 502 provider_error
1039 429 rate_limited
1041 429 rate_limited
1042 400 invalid_request
1043 400 invalid_request
1044 400 invalid_request
2013 400 invalid_request
20132 404 voice_not_found
2037 400 invalid_request
2038 502 provider_error
2039 409 voice_taken
2042 404 voice_not_found
2045 429 rate_limited
2048 400 invalid_request
2049 502 provider_error
2054 404 voice_not_found
2056 502 provider_error
2061 502 provider_error
9999 502 provider_error
"""
EXPECTED = {int(code): (int(status), word) for code, status, word in map(str.split, ANSWERS.split("\n")[1:-1])}


@pytest.mark.parametrize("code", EXPECTED)
def test_every_code_becomes_what_the_contract_says(code: int) -> None:
    error = told(code)
    assert (error.code.status, error.code.code) == EXPECTED[code]
    assert error.should_retry is (error.code.status in (409, 429))
    assert error.headers == ({"Retry-After": "5"} if error.code is ErrorCode.RATE_LIMITED else {})


def test_every_known_code_has_its_row_and_the_taken_voice_its_word() -> None:
    assert CODES.keys() == EXPECTED.keys() - {9999}
    assert told(2039).code is ErrorCode.VOICE_TAKEN


def test_every_cause_of_an_unknown_voice_looks_the_same() -> None:
    answers = [told(2054), told(2042, ""), told(20132), told(2013, "invalid params, voice id wrong")]
    answers += [told(2013, "invalid params, voice_id first character"), told(2013, "Voice_ID does not exist")]
    more = (
        "voice not exist",
        "VoiceId wrong",
        "voice not found for model x",
        "this Voice is wrong",
        "voices not found",
    )
    answers += [told(2013, f"invalid params, {message}") for message in more]
    answers.append(no_such_voice())
    assert len({(error.code, error.message, error.should_retry) for error in answers}) == 1


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("invalid params: voice_setting speed", "`speed`"),
        ("invalid params, timber_weights", "`timbre_weights`"),
        ("invalid params, text too long", "`input`"),
        ("invalid params, audio_setting format", "`response_format`"),
        ("invalid params, sample_rate", "`response_format`"),
        ("invalid params, voice_setting speed not in range", "`speed`"),
        ("invalid params: voice_setting emotion wrong", "`emotion`"),
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
