"""What an error says of how its request ended."""

from __future__ import annotations

from typing import Any

import pytest

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.errors import BrokenFramingError, ErrorCode, GatewayError
from kyma_proxy.observe.endings import PLUGIN, WORDS, Ending, EndReason, ending_of, upstream_ending


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"plugin": "gate"},
        {"upstream": "origin", "plugin": None},
        {"upstream": "origin", "upstream_failure": "refused", "plugin": "gate"},
        {"upstream": "origin", "upstream_failure": "silent", "upstream_limit": "idle"},
        {"upstream": "origin", "upstream_failure": "unusable"},
    ],
)
def test_every_ending_is_in_the_table(code: ErrorCode, facts: dict[str, Any]) -> None:
    ending = ending_of(GatewayError(code, "no"), facts)
    words = WORDS[ending.reason]
    assert ending.by in words or (ending.by == "gate" and PLUGIN in words)
    assert ending.by or len(words) == 1


@pytest.mark.parametrize(
    ("error", "facts", "ending"),
    [
        (GatewayError(ErrorCode.NOT_FOUND, ""), {}, Ending(EndReason.REFUSED, "gateway")),
        (GatewayError(ErrorCode.AUTH_ERROR, ""), {"plugin": "keys"}, Ending(EndReason.REFUSED, "keys")),
        (GatewayError(ErrorCode.VOICE_NOT_FOUND, ""), {"upstream": "m"}, Ending(EndReason.REFUSED, "provider")),
        (BrokenFramingError(), {"upstream": "origin", "plugin": None}, Ending(EndReason.MALFORMED)),
        (DatabaseUnavailableError(), {"plugin": "keys"}, Ending(EndReason.UNAVAILABLE, "database")),
        (GatewayError(ErrorCode.UNAVAILABLE, ""), {"plugin": "slots"}, Ending(EndReason.UNAVAILABLE, "slots")),
        (GatewayError(ErrorCode.UPSTREAM_TIMEOUT, ""), {"upstream": "m"}, Ending(EndReason.TIMED_OUT, "provider")),
        (GatewayError(ErrorCode.RATE_LIMITED, ""), {"upstream": "m"}, Ending(EndReason.LIMITED, "provider_rate")),
    ],
)
def test_who_it_was(error: GatewayError, facts: dict[str, Any], ending: Ending) -> None:
    assert ending_of(error, facts) == ending


@pytest.mark.parametrize("limit", ["connect", "first_byte", "idle", "total"])
def test_a_limit_comes_before_the_failure(limit: str) -> None:
    facts = {"upstream_failure": "silent", "upstream_limit": limit}
    error = GatewayError(ErrorCode.UPSTREAM_TIMEOUT, "")
    expected = Ending(EndReason.TIMED_OUT, f"upstream_{limit}")
    assert upstream_ending(error, facts) == upstream_ending(error, facts, within_answer=True) == expected


def test_what_breaks_within_the_answer_broke_off() -> None:
    facts = {"upstream_failure": "broken"}
    assert upstream_ending(OSError(), facts, within_answer=True) == Ending(EndReason.UPSTREAM_FAILED, "broke_off")
    assert upstream_ending(OSError(), facts) == Ending(EndReason.UPSTREAM_FAILED, "broken")
