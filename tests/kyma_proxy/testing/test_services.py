"""Services for plugins under test."""

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Identity
from kyma_proxy.testing.services import KeysInMemory, OwnershipInMemory, make_services


async def test_keys_are_known_unknown_or_away() -> None:
    ada = Identity("acct_ada", "key_1")
    keys = KeysInMemory({"ky-good": ada, "ky-down": GatewayError(ErrorCode.UNAVAILABLE, "away")})
    assert await keys.identify("ky-good") == ada
    assert await keys.identify("ky-bad") is None
    with pytest.raises(GatewayError):
        await keys.identify("ky-down")


async def test_services_can_be_made_without_saying_anything() -> None:
    services = make_services()
    assert await services.keys.identify("ky-x") is None
    assert not services.voice_providers


async def test_voices_are_owned_on_file_or_not() -> None:
    ownership = OwnershipInMemory({"v_ada": "acct_ada", "v_bob": "acct_bob", "v_dead": None})
    asked = ["v_ada", "v_bob", "v_dead", "v_new", "alloy"]
    assert await ownership.forbidden("acct_ada", asked) == {"v_bob", "v_dead"}
    assert await ownership.forbidden("acct_ada", asked, listed_only="v_") == {"v_bob", "v_dead", "v_new"}
    assert ownership.asked == [frozenset(asked)] * 2
    away = OwnershipInMemory(GatewayError(ErrorCode.UNAVAILABLE, "away"))
    with pytest.raises(GatewayError):
        await away.forbidden("acct_ada", asked)
