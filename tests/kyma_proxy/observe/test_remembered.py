"""The last requests can be asked about."""

from __future__ import annotations

import pytest

from kyma_proxy.observe.endings import WORDS, EndReason
from kyma_proxy.observe.remembered import Remembered, explanation_of


def test_the_last_ones_are_remembered_and_the_oldest_forgotten() -> None:
    remembered = Remembered(2)
    for number in range(4):
        remembered.keep(f"req_{number}", {"reason": "completed", "by": None, "number": number})
    assert remembered.recall("req_1") is None
    found = remembered.recall("req_3")
    assert found is not None
    assert (found["number"], found["explanation"]) == (3, ["the answer was written whole, whatever its status"])
    remembered.keep("req_2", {"reason": "completed", "by": None, "number": 20})
    remembered.keep("req_4", {"reason": "completed", "by": None, "number": 4})
    assert remembered.recall("req_3") is None
    assert (remembered.recall("req_2") or {})["number"] == 20


def test_nothing_is_kept_where_nothing_may_be() -> None:
    remembered = Remembered(0)
    remembered.keep("req_1", {"reason": "completed"})
    assert remembered.recall("req_1") is None
    assert repr(remembered) == "Remembered(0 of 0)"


def test_secrets_are_not_told() -> None:
    remembered = Remembered(1)
    remembered.keep("req_1", {"reason": "completed", "note": "Bearer ky-verysecretkey123"})
    assert "verysecret" not in str(remembered.recall("req_1"))


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_ending_has_words(reason: EndReason) -> None:
    for by in WORDS[reason]:
        sentences = explanation_of({"reason": reason.value, "by": by or None})
        assert len(sentences) == (2 if by else 1)
    assert explanation_of({"reason": "refused", "by": "voice_clone"})[1] == "by the plugin voice_clone"
