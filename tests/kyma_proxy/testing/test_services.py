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


async def test_while_away_only_keys_identified_before_go_on() -> None:
    ada = Identity("acct_ada", "key_1")
    keys = KeysInMemory({"ky-good": ada, "ky-late": ada})
    assert await keys.identify("ky-good") == ada
    assert await keys.identify("ky-bad") is None
    keys.away = True
    assert await keys.identify("ky-good") == ada
    for unseen in ("ky-late", "ky-bad"):
        with pytest.raises(GatewayError):
            await keys.identify(unseen)


async def test_while_away_only_what_was_known_is_told_and_only_to_those_who_want_it() -> None:
    ownership = OwnershipInMemory({"v_ada": "acct_ada", "v_bob": "acct_bob", "v_dead": None, "v_late": "acct_ada"})
    await ownership.forbidden("acct_ada", ["v_ada", "v_bob", "v_dead", "alloy", "acme-1", "kyma_ffff"])
    ownership.away = True
    assert not await ownership.forbidden("acct_ada", ["v_ada", "alloy", "acme-1"], serve_known=True)
    assert await ownership.forbidden("acct_ada", ["v_bob", "v_late"], serve_known=True) == {"v_bob"}
    for unknown in ("v_dead", "v_late", "echo", "kyma_ffff"):
        with pytest.raises(GatewayError):
            await ownership.forbidden("acct_ada", [unknown, "v_ada"], serve_known=True)
    with pytest.raises(GatewayError):
        await ownership.forbidden("acct_ada", ["acme-1"], listed_only="acme-", serve_known=True)
    with pytest.raises(GatewayError):
        await ownership.forbidden("acct_ada", ["v_ada"])
