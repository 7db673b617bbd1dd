"""The error table and its JSON."""

import json

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError, error_body


def test_the_envelope_has_message_type_and_code() -> None:
    body = json.loads(error_body(ErrorCode.INSUFFICIENT_CREDITS, "Top up – now."))
    assert body == {"error": {"message": "Top up – now.", "type": "billing_error", "code": "insufficient_credits"}}


def test_a_message_that_is_not_unicode_still_makes_an_envelope() -> None:
    assert json.loads(error_body(ErrorCode.NOT_FOUND, "caf\udce9"))["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("code", "status", "should_retry"),
    [
        (ErrorCode.INVALID_REQUEST, 400, False),
        (ErrorCode.TOO_LARGE, 413, False),
        (ErrorCode.UNSUPPORTED_FORMAT, 415, False),
        (ErrorCode.OWNERSHIP_WRITE_FAILED, 500, True),
        (ErrorCode.INTERNAL_ERROR, 500, False),
        (ErrorCode.PROVIDER_ERROR, 502, False),
        (ErrorCode.UNAVAILABLE, 503, True),
        (ErrorCode.UPSTREAM_TIMEOUT, 504, False),
    ],
)
def test_only_what_is_safe_and_useful_to_repeat_says_so(code: ErrorCode, status: int, should_retry: bool) -> None:
    error = GatewayError(code, "why")
    assert (error.code.status, error.should_retry) == (status, should_retry)


def test_the_cause_may_override_the_table() -> None:
    assert GatewayError(ErrorCode.PROVIDER_ERROR, "throttled", should_retry=True).should_retry
