"""Services for plugins under test."""

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Identity
from kyma_proxy.testing.services import KeysInMemory, make_services


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
