"""Heads as bytes."""

import pytest
from multidict import CIMultiDict

from kyma_proxy.heads import serialize_head


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x7f"])
@pytest.mark.parametrize("place", ["first line", "name", "value"])
def test_control_characters_are_refused(character: str, place: str) -> None:
    first, name, value = (f"é{character}" if place == one else "é" for one in ("first line", "name", "value"))
    with pytest.raises(ValueError, match="control character"):
        serialize_head(first, CIMultiDict({name: value}))
