import hashlib
import io
import wave

import pytest
from mutagen.mp3 import MP3

from kyma_proxy.simulators.minimax import Behaviour, Fault

VOICE = "gw3f9a1c2b7e4d5566"
SYSTEM = "English_Graceful_Lady"
T2A = "/v1/t2a_v2"
EXAMPLE = {
    "model": "speech-2.8-turbo",
    "text": "Platform four, ten minutes.",
    "stream": False,
    "output_format": "hex",
    "voice_setting": {"voice_id": SYSTEM, "speed": 1.0, "vol": 1.0, "pitch": 0},
    "audio_setting": {"sample_rate": 24000, "bitrate": 128000, "format": "mp3", "channel": 1},
}


async def speak(caller, voice_id: str = SYSTEM, **fields):
    return await caller.post(T2A, **(EXAMPLE | {"voice_setting": {"voice_id": voice_id}} | fields))


@pytest.fixture
async def cloned(caller, wav) -> None:
    await caller.clone(VOICE, await caller.file_id(wav(12), "ref.wav"))


async def test_the_documented_example_has_the_documented_shape(caller) -> None:
    said = await caller.post(T2A, **EXAMPLE)
    sound = bytes.fromhex(said["data"]["audio"])

    assert said["data"] == {"audio": sound.hex(), "status": 2, "ced": ""}
    assert said["base_resp"] == {"status_code": 0, "status_msg": "success"}
    assert len(said["trace_id"]) == 32
    assert said["extra_info"] == {
        "audio_length": 1800,
        "audio_sample_rate": 24000,
        "audio_size": len(sound),
        "bitrate": 128000,
        "word_count": 27,
        "invisible_character_ratio": 0,
        "usage_characters": 27,
        "audio_format": "mp3",
        "audio_channel": 1,
    }
    info = MP3(io.BytesIO(sound)).info
    assert (info.sample_rate, info.length) == (24000, pytest.approx(1.8, abs=0.05))


@pytest.mark.parametrize(("chars", "speed", "seconds"), [(1, 1, 0.5), (150, 1, 10), (150, 2, 5), (150, 0.5, 20)])
async def test_the_length_follows_text_and_speed(caller, chars, speed, seconds) -> None:
    setting = {"voice_id": SYSTEM, "speed": speed}
    said = await caller.post(
        T2A, model="speech-02-hd", text="x" * chars, voice_setting=setting, audio_setting={"format": "pcm"}
    )

    assert len(said["data"]["audio"]) == 2 * 2 * round(32000 * seconds)
    assert said["extra_info"]["audio_length"] == seconds * 1000


async def test_wav_is_a_file(caller) -> None:
    said = await speak(caller, audio_setting={"format": "wav", "sample_rate": 16000, "channel": 2})

    with wave.open(io.BytesIO(bytes.fromhex(said["data"]["audio"]))) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getnframes()) == (16000, 2, 28800)
    assert said["extra_info"]["audio_format"] == "mp3"


@pytest.mark.parametrize(
    ("form", "start"),
    [("flac", b"fLaC"), ("opus", b"OggS"), ("pcmu_wav", b"RIFF"), ("pcmu_raw", b"\xff"), ("mp3", b"\xff\xfb")],
)
async def test_every_format_is_made(caller, form, start) -> None:
    said = await speak(caller, audio_setting={"format": form})

    assert bytes.fromhex(said["data"]["audio"]).startswith(start)


async def test_low_rates_end_at_the_highest_bit_rate_that_exists(caller) -> None:
    said = await speak(caller, audio_setting={"sample_rate": 16000, "bitrate": 256000})

    assert MP3(io.BytesIO(bytes.fromhex(said["data"]["audio"]))).info.bitrate == pytest.approx(160000, rel=0.01)


async def test_the_history_tells_what_was_spoken(caller, simulator) -> None:
    sound = bytes.fromhex((await speak(caller))["data"]["audio"])

    progress = simulator.calls[-1].progress
    assert (progress.audio_bytes, progress.audio_sha256) == (len(sound), hashlib.sha256(sound).hexdigest())
    assert progress.client_left_at is None


async def test_the_first_use_of_a_clone_activates_and_charges_it_once(caller, simulator, cloned) -> None:
    assert not simulator.voices[VOICE].active

    first, second = await speak(caller, VOICE), await speak(caller, VOICE)

    assert first["extra_info"]["usage_voice_count"] == 1
    assert "usage_voice_count" not in second["extra_info"]
    assert simulator.voices[VOICE].active
    assert (await caller.post("/v1/get_voice", voice_type="all"))["voice_cloning"][0]["voice_id"] == VOICE


async def test_a_failed_call_activates_nothing(caller, simulator, cloned) -> None:
    simulator.inject(Fault(path=T2A, error_code=1026))

    assert (await speak(caller, VOICE))["base_resp"]["status_code"] == 1026
    assert not simulator.voices[VOICE].active


async def test_unused_for_a_week_it_is_unknown(caller, simulator, cloned) -> None:
    simulator.advance(168 * 3600 + 1)

    assert (await speak(caller, VOICE))["base_resp"]["status_code"] == 2054


async def test_a_used_voice_outlives_the_week_and_a_deleted_one_is_unknown(caller, simulator, cloned) -> None:
    await speak(caller, VOICE)
    simulator.advance(168 * 3600 + 1)
    assert (await speak(caller, VOICE))["base_resp"]["status_code"] == 0
    await caller.post("/v1/delete_voice", voice_type="voice_cloning", voice_id=VOICE)
    assert (await speak(caller, VOICE))["base_resp"]["status_code"] == 2054


@pytest.mark.parametrize(
    "voice_id",
    ["nobody-1", "english_graceful_lady", "English_Graceful_Lady ", "Japanese_Calm（Radio）", "gw" + "0" * 16],
)
async def test_ids_are_matched_byte_by_byte(caller, voice_id) -> None:
    said = await speak(caller, voice_id)

    assert said["base_resp"] == {"status_code": 2054, "status_msg": "voice id not exist"}
    assert said["data"] is None
    assert said["trace_id"]


async def test_an_odd_id_of_the_system_speaks(caller) -> None:
    assert (await speak(caller, "Japanese_Calm（Radio） "))["base_resp"]["status_code"] == 0


async def test_an_id_without_access_is_told_from_an_unknown_one(caller, simulator) -> None:
    simulator.behaviour = Behaviour(inaccessible_voice_ids=["somebody-1", SYSTEM])

    for voice_id in ("somebody-1", SYSTEM):
        assert (await speak(caller, voice_id))["base_resp"]["status_code"] == 2042


async def test_no_voice_is_a_wrong_one(caller) -> None:
    said = await speak(caller, "")

    assert said["base_resp"] == {"status_code": 2013, "status_msg": "invalid params, voice id wrong"}


async def test_every_mixed_voice_must_exist(caller, cloned, simulator) -> None:
    mixed = [{"voice_id": SYSTEM, "weight": 1}, {"voice_id": VOICE, "weight": 100}]
    assert (await speak(caller, "", timbre_weights=mixed))["extra_info"]["usage_voice_count"] == 1
    unknown = [*mixed, {"voice_id": "nobody-1", "weight": 1}]
    assert (await speak(caller, "", timber_weights=unknown))["base_resp"]["status_code"] == 2054


async def test_a_link_stands_where_the_audio_would(caller) -> None:
    said = await speak(caller, output_format="url")

    assert said["data"]["audio"].startswith("https://")


async def test_subtitles_are_a_link_of_their_own(caller) -> None:
    assert (await speak(caller, subtitle_enable=True))["data"]["subtitle_file"].startswith("https://")


async def test_a_throttled_caller_gets_the_bare_envelope(caller, simulator) -> None:
    simulator.behaviour = Behaviour(calls_per_minute={T2A: 1})
    await speak(caller)

    for stream in (False, True):
        async with caller.session.post(T2A, json=EXAMPLE | {"stream": stream}) as reply:
            assert reply.content_type == "application/json"
            assert len(await reply.read()) == 74
