"""What is read of a request's target and shown of a voice."""

from __future__ import annotations

import pytest

from kyma_proxy.api import GatewayError
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.testing.library import make_voice
from kyma_voice_library.shapes import asks_for_mine, page_fields, page_wanted, voice_fields, voice_id_of


@pytest.mark.parametrize(
    ("raw_query", "mine"),
    [(None, False), ("scope=mine", True), ("a=b&scope=mine", True), ("scope=%6Dine", True), ("scope=mine;x", False)],
)
def test_only_scope_mine_asks_for_ones_own(raw_query: str | None, mine: bool) -> None:
    assert asks_for_mine(raw_query) is mine


def test_a_page_has_its_limits() -> None:
    assert page_wanted("scope=mine", 100) == (100, None)
    assert page_wanted("limit=007&after=kyma_1&other=x", 100) == (7, "kyma_1")
    for query in ("limit=%D9%A3", "limit=1.0", "after=a&after=b"):
        with pytest.raises(GatewayError):
            page_wanted(query, 100)


@pytest.mark.parametrize(("segment", "voice_id"), [("kyma_1", "kyma_1"), ("a%20b", "a b"), ("%E9", None), ("+", "+")])
def test_ids_are_decoded_once(segment: str, voice_id: str | None) -> None:
    assert voice_id_of(make_flow(path=f"/v1/audio/voices/{segment}")) == voice_id


def test_kinds_have_the_public_lists_words() -> None:
    words = {kind: voice_fields(make_voice("v", kind=kind))["category"] for kind in ("clone", "design", "adopted")}
    assert words == {"clone": "cloned", "design": "generated", "adopted": "cloned"}


def test_an_empty_page_has_no_ids() -> None:
    page = page_fields([], has_more=False)
    assert (page["data"], page["first_id"], page["last_id"]) == ([], None, None)
