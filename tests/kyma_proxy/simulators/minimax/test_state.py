from contextlib import suppress

import pytest

from kyma_proxy.simulators.minimax.faults import Behaviour, Fault
from kyma_proxy.simulators.minimax.replies import RefusalError
from kyma_proxy.simulators.minimax.state import CALLS_MAX, FILES_MAX, KEPT_BYTES_MAX, Call, State, StoredFile


def call(path: str = "/v1/files/upload", upload: bytes = b"") -> Call:
    return Call(
        "POST",
        path,
        {},
        {},
        fields={"purpose": "voice_clone"},
        filename="a.mp3",
        upload=upload,
        upload_bytes=len(upload),
    )


def add_voice(state: State, voice_id: str) -> None:
    state.reserve_voice_id(voice_id)
    state.add_voice(voice_id, "voice_cloning")


def test_file_ids_are_64_bit_and_lose_digits_as_doubles() -> None:
    state = State(Behaviour())

    ids = [state.add_file(call()).file_id for _ in range(20)]

    assert len(set(ids)) == 20
    assert all(2**53 < file_id < 2**63 for file_id in ids)
    assert any(int(float(file_id)) != file_id for file_id in ids)


@pytest.mark.parametrize(
    ("filename", "extension"), [("a.mp3", "mp3"), ("A.B.WAV", "wav"), ("noname", ""), ("x.mp3.ogg", "ogg")]
)
def test_the_last_extension_of_the_name_decides(filename, extension) -> None:
    assert StoredFile(1, filename, "voice_clone", b"", 0).extension == extension


def test_history_and_files_are_bounded_in_number() -> None:
    state = State(Behaviour())
    for _ in range(CALLS_MAX + 5):
        state.record(call())
        state.add_file(call())

    assert len(state.calls) == CALLS_MAX
    assert len(state.files) == FILES_MAX


def test_history_and_files_are_bounded_in_bytes() -> None:
    state = State(Behaviour())
    large = bytes(KEPT_BYTES_MAX // 4)
    for _ in range(6):
        state.record(call(upload=large))
        newest = state.add_file(call(upload=large))

    assert len(state.calls) == 4
    assert len(state.files) == 4
    assert newest.file_id in state.files


def test_an_id_is_taken_while_cloning_afterwards_and_for_ever() -> None:
    state = State(Behaviour())
    for prepare in (lambda: state.reserve_voice_id("voice-01"), lambda: state.add_voice("voice-01", "voice_cloning")):
        prepare()
        with pytest.raises(RefusalError) as refused:
            state.reserve_voice_id("voice-01")
        assert refused.value.code == 2039
    state.remove_voice("voice-01")
    with pytest.raises(RefusalError) as refused:
        state.reserve_voice_id("voice-01")
    assert refused.value.code == 2039


def test_a_system_voice_cannot_be_claimed() -> None:
    with pytest.raises(RefusalError) as refused:
        State(Behaviour()).reserve_voice_id("English_Graceful_Lady")
    assert refused.value.code == 2039


def test_voices_not_used_for_168_hours_vanish_and_used_ones_stay() -> None:
    state = State(Behaviour())
    add_voice(state, "unused-1")
    add_voice(state, "spoken-1")
    state.activate_voice("spoken-1")

    state.advance(168 * 3600 - 60)
    assert set(state.voices) == {"unused-1", "spoken-1"}
    state.advance(120)
    assert set(state.voices) == {"spoken-1"}
    assert state.burned_voice_ids == {"unused-1"}


def test_a_burst_passes_then_nothing_does_until_the_caller_rests() -> None:
    state = State(Behaviour(calls_per_minute={"/v1/voice_clone": 14}))

    def passes() -> bool:
        with suppress(RefusalError):
            state.count_call("/v1/voice_clone")
            return True
        return False

    assert [passes() for _ in range(30)] == [True] * 14 + [False] * 16
    state.advance(30)
    assert not passes()
    with pytest.raises(RefusalError, match="1002 rate limit exceeded"):
        state.count_call("/v1/voice_clone")
    state.advance(61)
    assert passes()
    state.count_call("/v1/get_voice")


def test_reset_forgets_everything_but_used_file_ids() -> None:
    state = State(Behaviour(clone_seconds=2.0))
    first = state.add_file(call()).file_id
    state.record(call())
    state.faults.add(Fault())
    add_voice(state, "voice-01")
    state.reserve_voice_id("voice-02")
    state.behaviour = Behaviour()
    state.advance(10)

    state.reset()
    state.add_voice("voice-02", "voice_cloning")

    assert (list(state.calls), state.files, state.voices, state.faults.waiting) == ([], {}, {}, [])
    assert state.behaviour == Behaviour(clone_seconds=2.0)
    assert state.add_file(call()).file_id != first


def test_a_voice_is_found_by_its_exact_id_or_the_reason_is_said() -> None:
    state = State(Behaviour(inaccessible_voice_ids=["voice-02"]))
    for voice_id in ("voice-01", "voice-02"):
        add_voice(state, voice_id)

    found = state.find_voice("voice-01")
    assert found is not None
    assert found.voice_id == "voice-01"
    assert state.find_voice("English_Graceful_Lady") is None
    for voice_id, code in (("voice-02", 2042), ("Voice-01", 2054)):
        with pytest.raises(RefusalError) as refused:
            state.find_voice(voice_id)
        assert refused.value.code == code
