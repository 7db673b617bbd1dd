import re

import pytest

from kyma_proxy.simulators.origin import state as module
from kyma_proxy.simulators.origin.faults import Behaviour, Fault
from kyma_proxy.simulators.origin.replies import Bill, RefusalError
from kyma_proxy.simulators.origin.state import Call, State


@pytest.fixture
def state() -> State:
    return State(Behaviour(starting_balance_usd="1.00"))


def test_every_key_has_a_balance_of_its_own(state) -> None:
    assert state.charge("a", "m", 400_000) == Bill("m", 400_000, 600_000)
    assert (state.balance_micros("a"), state.balance_micros("b")) == (600_000, 1_000_000)


def test_a_charge_over_the_balance_changes_nothing(state) -> None:
    with pytest.raises(RefusalError, match="insufficient_credits"):
        state.charge("a", "m", 1_000_001, refusal="insufficient_credits")

    assert state.balance_micros("a") == 1_000_000
    assert state.charge("a", "m", 1_000_000).balance_micros == 0


def test_a_designed_voice_belongs_to_who_made_it(state) -> None:
    voice_id = state.add_voice("a")

    assert re.fullmatch("kyma_[0-9a-f]{16}", voice_id)
    state.check_voice("a", voice_id)
    state.check_voice("b", "Rachel")
    with pytest.raises(RefusalError, match="voice_not_owned"):
        state.check_voice("b", voice_id)


def test_the_voice_list_is_cached_for_five_minutes(state, monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "monotonic_seconds", lambda: now)
    assert [state.list_voices_cached(), state.list_voices_cached()] == [False, True]
    now += 299.9
    assert state.list_voices_cached()
    now += 0.1
    assert not state.list_voices_cached()


def test_what_is_kept_is_bounded(state, monkeypatch) -> None:
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    monkeypatch.setattr(module, "VOICES_MAX", 2)
    for key in ("a", "b", "c"):
        state.charge(key, "m", 1)
        state.add_voice(key)

    assert [state.balance_micros(key) for key in "abc"] == [1_000_000, 999_999, 999_999]
    assert state.voice_count == 2
    state.calls.extend(Call("GET", "/", "/", []) for _ in range(module.CALLS_MAX + 1))
    assert len(state.calls) == module.CALLS_MAX


def test_reset_forgets(state) -> None:
    state.charge("a", "m", 1)
    state.add_voice("a")
    state.list_voices_cached()
    state.faults.add(Fault())
    state.calls.append(Call("GET", "/", "/", []))
    state.behaviour = Behaviour()

    state.reset()

    assert repr(state) == "State(voices=0, calls=0)"
    assert (state.balance_micros("a"), state.faults.waiting) == (1_000_000, [])
    assert not state.list_voices_cached()
