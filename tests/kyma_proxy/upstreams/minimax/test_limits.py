"""Which limit a call meets, and that one account cannot use up everybody's minute."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from pydantic import ValidationError

from kyma_proxy.errors import ErrorCode
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.upstreams.minimax.limits import CLONE, ProviderRateError, RateLimits
from kyma_proxy.windows import CallWindows


def limits(windows: CallWindows | None = None, **fields: Any) -> RateLimits:
    values = {"base_url": "http://127.0.0.1:9", "api_key": "k", "rate_wait_seconds": 0.01, **fields}
    return RateLimits("minimax", MiniMaxUpstreamSettings.model_validate(values), windows or CallWindows())


async def refused(admission: Awaitable[None]) -> ProviderRateError | None:
    try:
        await admission
    except ProviderRateError as error:
        return error
    return None


async def admitted(made: RateLimits, what: str, account_id: str | None = None, key: str = "default") -> int:
    """How many calls are admitted until one is refused."""
    for count in range(100):
        refusal = await refused(made.admit(what, key, account_id))
        if refusal is not None:
            assert (refusal.code, refusal.in_the_way) == (ErrorCode.RATE_LIMITED, "provider_rate")
            assert 1 <= int(refusal.headers["Retry-After"]) <= 61
            return count
    return 100


async def test_each_model_and_each_kind_of_voice_has_its_own_limit() -> None:
    made = limits(rate_limits={"speech-02-hd": 2, CLONE: 3, "*": 4})
    assert [await admitted(made, what) for what in ("speech-02-hd", CLONE, "speech-02-turbo", "speech-01-hd")] == [
        2,
        3,
        4,
        4,
    ]


async def test_what_has_no_limit_is_not_limited() -> None:
    assert await admitted(limits(), "speech-02-hd") == 100
    assert await admitted(limits(rate_limits={"speech-02-hd": 1}), "speech-02-turbo") == 100


async def test_each_key_has_its_own_minute() -> None:
    made = limits(rate_limits={"*": 3})
    assert [await admitted(made, "speech-02-hd", key=key) for key in ("east", "west")] == [3, 3]


async def test_one_account_has_its_share_and_leaves_the_rest_to_others() -> None:
    made = limits(rate_limits={"*": 10})
    assert await admitted(made, "speech-02-hd", "acct_greedy") == 5
    assert await admitted(made, "speech-02-hd", "acct_other") == 5
    assert await admitted(made, "speech-02-hd", "acct_third") == 0
    assert await admitted(made, "speech-02-hd") == 0


async def test_who_was_refused_by_all_has_not_used_up_its_own_share() -> None:
    windows = CallWindows()
    made = limits(windows, rate_limits={"*": 4})
    assert await admitted(made, "speech-02-hd") == 4
    assert await admitted(made, "speech-02-hd", "acct_1") == 0
    own = windows.window("minimax speech-02-hd share", 2, 0.01)
    for _ in range(2):
        await own.enter("default acct_1")


async def test_a_share_of_everything_is_no_share() -> None:
    assert await admitted(limits(rate_limits={"*": 10}, rate_share_per_account=1.0), "speech-02-hd", "acct_1") == 10


async def test_a_reload_does_not_begin_a_new_minute() -> None:
    windows = CallWindows()
    assert await admitted(limits(windows, rate_limits={"*": 3}), "speech-02-hd") == 3
    assert await admitted(limits(windows, rate_limits={"*": 3}), "speech-02-hd") == 0


@pytest.mark.parametrize(
    "wrong", [{"rate_limits": {"*": 0}}, {"rate_share_per_account": 0}, {"rate_share_per_account": 1.5}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        limits(**wrong)
