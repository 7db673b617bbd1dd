import json

import pytest

from kyma_proxy.simulators.origin.replies import CODES, Bill, RefusalError, invalid


@pytest.mark.parametrize("code", CODES)
def test_the_envelope_has_message_type_and_code(code) -> None:
    reply = RefusalError(code).response()

    error = json.loads(reply.body)["error"]
    assert (reply.status, error["type"]) == (CODES[code].status, CODES[code].kind)
    assert list(error) == ["message", "type", "code"]
    assert error["code"] == ("invalid_request" if code == "too_large" else code)
    assert reply.content_type == "application/json"


def test_only_429_says_when_to_come_back() -> None:
    assert RefusalError("rate_limited").response().headers["Retry-After"] == "2"
    assert "Retry-After" not in invalid("why").response().headers


def test_a_refusal_can_say_why() -> None:
    assert json.loads(invalid("input is required.").response().body)["error"]["message"] == "input is required."


def test_a_bill_in_headers() -> None:
    assert Bill("whisper-v3-turbo", 900, 25_000_000).headers(duration_sec=61.5, billable_minutes=2) == {
        "X-Kyma-Model": "whisper-v3-turbo",
        "X-Kyma-Duration-Sec": "61.5",
        "X-Kyma-Billable-Minutes": "2",
        "X-Kyma-Cost-USD": "0.0009",
        "X-Kyma-Balance-USD": "25.00",
    }
