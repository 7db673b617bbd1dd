"""Key → account, or 401."""

from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_api_key_auth.config import ApiKeyAuthConfig
from kyma_api_key_auth.plugin import ApiKeyAuth
from kyma_proxy.api import ErrorCode, Flow, GatewayError, Identity, Reply
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.testing.services import KeysInMemory, make_services

ADA = Identity("acct_ada", "key_1")


KEYS = KeysInMemory({"ky-good": ADA, "ky-down": GatewayError(ErrorCode.UNAVAILABLE, "away")})


@pytest.fixture
def plugin() -> ApiKeyAuth:
    return ApiKeyAuth(ApiKeyAuthConfig(), make_services(keys=KEYS))


async def _proceed(_flow: Flow) -> Reply:
    return Reply(200)


async def _refusal(plugin: ApiKeyAuth, headers: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await plugin.handle(make_flow(headers=headers), _proceed)
    return caught.value


@pytest.mark.parametrize("value", ["Bearer ky-good", "bearer ky-good", "BEARER  ky-good "])
async def test_a_good_key_names_the_account(plugin: ApiKeyAuth, value: str) -> None:
    flow = make_flow(headers={"Authorization": value})
    assert (await plugin.handle(flow, _proceed)).status == 200
    assert flow.identity == ADA


@pytest.mark.parametrize("value", ["Bearer ky-bad", "Basic a3k6", "ky-good", "", "Bearer", "Bearer ky-good extra"])
async def test_everything_else_is_401(plugin: ApiKeyAuth, value: str) -> None:
    error = await _refusal(plugin, {"Authorization": value})
    assert error.code is ErrorCode.AUTH_ERROR
    assert error.headers["WWW-Authenticate"] == "Bearer"


async def test_no_key_is_401(plugin: ApiKeyAuth) -> None:
    assert (await _refusal(plugin, {})).code is ErrorCode.AUTH_ERROR


async def test_two_authorization_headers_are_not_guessed_between(plugin: ApiKeyAuth) -> None:
    headers = CIMultiDict([("Authorization", "Bearer ky-good"), ("authorization", "Bearer ky-bad")])
    assert (await _refusal(plugin, headers)).code is ErrorCode.AUTH_ERROR


async def test_a_database_that_is_away_is_never_401(plugin: ApiKeyAuth) -> None:
    assert (await _refusal(plugin, {"Authorization": "Bearer ky-down"})).code is ErrorCode.UNAVAILABLE


async def test_while_the_database_is_away_a_key_seen_before_goes_on() -> None:
    keys = KeysInMemory({"ky-good": ADA, "ky-unseen": ADA})
    plugin = ApiKeyAuth(ApiKeyAuthConfig(), make_services(keys=keys))
    flow = make_flow(headers={"Authorization": "Bearer ky-good"})
    assert (await plugin.handle(flow, _proceed)).status == 200
    keys.away = True
    assert (await plugin.handle(flow, _proceed)).status == 200
    for api_key in ("ky-unseen", "ky-bad"):
        error = await _refusal(plugin, {"Authorization": f"Bearer {api_key}"})
        assert error.code is ErrorCode.UNAVAILABLE
