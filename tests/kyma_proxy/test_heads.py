"""Heads as bytes."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.heads import names_upgrade, names_websocket, serialize_head


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x7f"])
@pytest.mark.parametrize("place", ["first line", "name", "value"])
def test_control_characters_are_refused(character: str, place: str) -> None:
    first, name, value = (f"é{character}" if place == one else "é" for one in ("first line", "name", "value"))
    with pytest.raises(ValueError, match="control character"):
        serialize_head(first, [(name, value)])


@pytest.mark.parametrize(
    ("headers", "upgrade", "websocket"),
    [
        ([], False, False),
        ([("Upgrade", "websocket")], False, False),
        ([("Connection", "upgrade")], False, False),
        ([("Upgrade", "WebSocket"), ("Connection", "keep-alive,  UPGRADE")], True, True),
        ([("Upgrade", " websocket "), ("Connection", "x"), ("Connection", "upgrade")], True, True),
        ([("Upgrade", "h2c"), ("Connection", "upgrade")], True, False),
        ([("Upgrade", "websocket, h2c"), ("Connection", "upgrade")], True, False),
        ([("Upgrade", "websocket"), ("Upgrade", "h2c"), ("Connection", "upgrade")], True, False),
        ([("Upgrade", "websocket/13"), ("Connection", "upgrade")], True, False),
        ([("Upgrade", "websocket"), ("Connection", "x-upgrade")], False, False),
    ],
)
def test_what_a_head_says_of_leaving_http(headers: list[tuple[str, str]], upgrade: bool, websocket: bool) -> None:
    read = CIMultiDictProxy(CIMultiDict(headers))
    assert (names_upgrade(read), names_websocket(read)) == (upgrade, websocket)
