import io

import pytest
from mutagen.mp3 import MP3

from kyma_proxy.simulators.origin import Behaviour

GOOD = {"input": "Hello there", "voice_id": "Rachel"}


async def test_sound_with_the_bill_in_headers(caller) -> None:
    said = await caller.post("speech", **GOOD)

    assert (said.status, said.headers["Content-Type"]) == (200, "audio/mpeg")
    assert {name: value for name, value in said.headers.items() if name.startswith("X-Kyma")} == {
        "X-Kyma-Model": "eleven-multilingual-v2",
        "X-Kyma-Chars-Billed": "11",
        "X-Kyma-Cost-USD": "0.004455",
        "X-Kyma-Balance-USD": "99.995545",
    }
    assert MP3(io.BytesIO(said.body)).info.length == pytest.approx(0.74, abs=0.05)


async def test_the_aliases_and_every_option(caller) -> None:
    settings = {"stability": 0.5, "similarity_boost": 1, "style": 0, "use_speaker_boost": True}
    said = await caller.post(
        "speech",
        text="Hi",
        voice="x",
        model="eleven-v3",
        response_format="pcm_16000",
        voice_settings=settings,
        stream=True,
    )

    assert (said.status, said.headers["Content-Type"]) == (200, "audio/pcm")
    assert said.headers["X-Kyma-Cost-USD"] == "0.00081"
    assert len(said.body) == 16000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "minimax-speech-hd"}, "not_a_tts_model"),
        ({"input": ""}, "invalid_request"),
        ({"voice_id": None}, "voice_required"),
        ({"voice_id": {"id": "x"}}, "invalid_request"),
        ({"input": "x" * 5001}, "input_too_long"),
        ({"response_format": "aac"}, "invalid_request"),
        ({"voice_settings": [1]}, "invalid_request"),
        ({"voice_settings": {"style": 1.5}}, "invalid_request"),
        ({"voice_settings": {"use_speaker_boost": 1}}, "invalid_request"),
    ],
)
async def test_what_is_refused_costs_nothing(caller, origin, change, code) -> None:
    assert (await caller.post("speech", **(GOOD | change))).error == (400, code)
    assert origin.balance_micros("ky-caller") == 100_000_000


async def test_too_little_money(caller, origin) -> None:
    origin.behaviour = Behaviour(starting_balance_usd="0.002199")

    assert (await caller.post("speech", **GOOD, model="eleven-flash-v2-5")).error == (402, "billing_error")
