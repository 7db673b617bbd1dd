import pytest

from kyma_proxy.simulators.minimax import Behaviour

VOICE = "gw3f9a1c2b7e4d5566"


@pytest.fixture
async def cloned(caller, wav):
    said = await caller.clone(VOICE, await caller.file_id(wav(12), "ref.wav"))
    assert said["base_resp"]["status_code"] == 0


async def test_get_voice_has_the_documented_shape(caller, simulator, literal, cloned) -> None:
    simulator.activate_voice(VOICE)

    said, documented = await caller.post("/v1/get_voice", voice_type="all"), literal("get_voice.reply.json")

    assert said.keys() == documented.keys()
    assert said["system_voice"][0].keys() == documented["system_voice"][0].keys()
    assert isinstance(said["system_voice"][0]["description"], list)
    assert said["voice_cloning"][0].keys() == documented["voice_cloning"][0].keys()
    assert said["voice_cloning"][0]["voice_id"] == VOICE
    assert said["voice_generation"] is None


async def test_an_unused_voice_is_not_listed(caller, simulator, cloned) -> None:
    assert VOICE in simulator.voices

    assert (await caller.post("/v1/get_voice", voice_type="all"))["voice_cloning"] is None


async def test_only_the_wanted_type_is_listed(caller, simulator, cloned) -> None:
    simulator.activate_voice(VOICE)

    assert (await caller.post("/v1/get_voice", voice_type="voice_cloning"))["system_voice"] is None
    assert (await caller.post("/v1/get_voice", voice_type="system"))["voice_cloning"] is None
    assert (await caller.post("/v1/get_voice", voice_type="mine"))["base_resp"]["status_code"] == 2013


async def test_get_voice_is_a_post(caller) -> None:
    async with caller.session.get("/v1/get_voice", params={"voice_type": "all"}) as reply:
        assert reply.status == 404


async def test_delete_has_the_documented_shape_and_burns_the_id(caller, simulator, literal, wav, cloned) -> None:
    said = await caller.post("/v1/delete_voice", voice_type="voice_cloning", voice_id=VOICE)

    assert said.keys() == literal("delete_voice.reply.json").keys()
    assert said["voice_id"] == VOICE
    assert len(said["created_time"]) == len("2026-11-20")
    assert VOICE not in simulator.voices
    assert simulator.burned_voice_ids == {VOICE}
    again = await caller.clone(VOICE, await caller.file_id(wav(12), "ref.wav"))
    assert again["base_resp"]["status_code"] == 2039


async def test_created_time_may_be_an_epoch_text(caller, simulator, cloned) -> None:
    simulator.behaviour = Behaviour(epoch_created_time=True)

    said = await caller.post("/v1/delete_voice", voice_type="voice_cloning", voice_id=VOICE)

    assert said["created_time"].isdigit()


@pytest.mark.parametrize("voice_id", ["never-was-1", "English_Graceful_Lady"])
async def test_deleting_a_missing_voice_is_the_recorded_reply(caller, literal, voice_id) -> None:
    said = await caller.post("/v1/delete_voice", voice_type="voice_cloning", voice_id=voice_id)

    assert said == literal("delete_voice_missing.reply.json")


async def test_the_wrong_type_finds_nothing(caller, simulator, literal, cloned) -> None:
    said = await caller.post("/v1/delete_voice", voice_type="voice_generation", voice_id=VOICE)

    assert said == literal("delete_voice_missing.reply.json")
    assert VOICE in simulator.voices


async def test_deleting_needs_both_fields(caller) -> None:
    for fields in ({"voice_id": VOICE}, {"voice_type": "voice_cloning"}, {"voice_type": "system", "voice_id": VOICE}):
        assert (await caller.post("/v1/delete_voice", **fields))["base_resp"]["status_code"] == 2013
