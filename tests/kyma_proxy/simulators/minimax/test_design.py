import re

import pytest

from kyma_proxy.simulators.minimax import Behaviour

VOICE = "kyma_0123456789abcdef"
ASKED = {"prompt": "A calm lighthouse keeper.", "preview_text": "Storm by nightfall.", "voice_id": VOICE}


async def test_a_designed_voice_has_the_id_that_was_asked_for_and_a_preview(caller, simulator) -> None:
    said = await caller.post("/v1/voice_design", **ASKED)
    assert said["voice_id"] == VOICE
    assert bytes.fromhex(said["trial_audio"])[:1] == b"\xff"
    assert simulator.voices[VOICE].voice_type == "voice_generation"
    assert (await caller.post("/v1/voice_design", **ASKED))["base_resp"]["status_code"] == 2039


async def test_an_account_that_insists_has_ids_of_its_own(caller, simulator) -> None:
    simulator.behaviour = Behaviour(design_ids="own")
    said = await caller.post("/v1/voice_design", **ASKED)
    assert re.fullmatch(r"ttv-voice-\d{16}-[A-Za-z0-9]{8}", said["voice_id"])
    assert set(simulator.voices) == {said["voice_id"]}


async def test_without_an_id_the_provider_makes_one(caller) -> None:
    said = await caller.post("/v1/voice_design", prompt="Calm.", preview_text="Hi.")
    assert said["voice_id"].startswith("ttv-voice-")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": None},
        {"prompt": " "},
        {"prompt": "x" * 2001},
        {"preview_text": ""},
        {"preview_text": "x" * 501},
        {"voice_id": "1"},
    ],
)
async def test_what_the_provider_does_not_take(caller, simulator, change) -> None:
    said = await caller.post("/v1/voice_design", **{**ASKED, **change})
    assert said["base_resp"]["status_code"] == 2013
    assert not simulator.voices


async def test_a_designed_voice_is_deleted_by_its_own_type(caller, simulator) -> None:
    await caller.post("/v1/voice_design", **ASKED)
    wrong = await caller.post("/v1/delete_voice", voice_type="voice_cloning", voice_id=VOICE)
    assert wrong["base_resp"]["status_code"] == 2013
    right = await caller.post("/v1/delete_voice", voice_type="voice_generation", voice_id=VOICE)
    assert right["base_resp"]["status_code"] == 0
    assert VOICE not in simulator.voices
