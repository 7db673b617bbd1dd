import io

import pytest
from mutagen.mp3 import MP3

from kyma_proxy.simulators.origin import Behaviour


async def test_music_of_the_wanted_length(caller) -> None:
    said = await caller.post("music", prompt="A waltz", music_length_ms=2000)

    assert (said.status, said.headers["Content-Type"]) == (200, "audio/mpeg")
    assert MP3(io.BytesIO(said.body)).info.length == pytest.approx(2, abs=0.05)
    names = ("Model", "Duration-Sec", "Cost-USD", "Balance-USD")
    assert [said.headers[f"X-Kyma-{name}"] for name in names] == ["elevenlabs-music", "2", "0.27", "99.73"]


async def test_a_song_has_one_price_whatever_its_length(caller) -> None:
    short = await caller.post("music", prompt="x", lyrics="la", model="minimax-music", duration_ms=1000)
    long = await caller.post("music", prompt="x", model="minimax-music")

    assert short.headers["X-Kyma-Cost-USD"] == long.headers["X-Kyma-Cost-USD"]
    assert long.headers["X-Kyma-Duration-Sec"] == "30"


async def test_an_effect_at_a_flat_price(caller) -> None:
    said = await caller.post(
        "sfx", text="A door", duration_seconds=0.5, prompt_influence=1, response_format="ulaw_8000"
    )

    assert (said.headers["Content-Type"], len(said.body)) == ("audio/basic", 4000)
    assert said.headers["X-Kyma-Cost-USD"] == "0.027"


@pytest.mark.parametrize("endpoint", ["music", "sfx"])
async def test_a_stored_file_is_described_in_json(caller, endpoint) -> None:
    said = await caller.send("POST", f"/v1/audio/{endpoint}?save_to_blob=1", json={"prompt": "x"})

    assert said.status == 200
    assert list(said.json) == ["object", "job_id", "kind", "url", "duration_sec", "cost_usd", "balance_usd"]
    assert (said.json["object"], said.json["kind"]) == ("audio.generation", "audio")
    assert said.json["job_id"] in said.json["url"]
    assert (await caller.send("POST", f"/v1/audio/{endpoint}?save_to_blob=0", json={"prompt": "x"})).json is None


@pytest.mark.parametrize(
    ("endpoint", "fields", "code"),
    [
        ("music", {}, "invalid_request"),
        ("music", {"prompt": "x", "model": "elevenlabs-sfx"}, "not_a_music_model"),
        ("music", {"prompt": "x" * 2001}, "prompt_too_long"),
        ("music", {"prompt": "x", "music_length_ms": 999}, "invalid_duration"),
        ("music", {"prompt": "x", "music_length_ms": 300_001}, "invalid_duration"),
        ("music", {"prompt": "x", "music_length_ms": "long"}, "invalid_request"),
        ("music", {"prompt": "x", "lyrics": "x" * 3001}, "invalid_request"),
        ("sfx", {"prompt": " "}, "invalid_request"),
        ("sfx", {"prompt": "x", "model": "elevenlabs-music"}, "not_an_sfx_model"),
        ("sfx", {"prompt": "x" * 501}, "prompt_too_long"),
        ("sfx", {"prompt": "x", "duration_seconds": 0.4}, "invalid_duration"),
        ("sfx", {"prompt": "x", "duration_seconds": 22.1}, "invalid_duration"),
        ("sfx", {"prompt": "x", "prompt_influence": 2}, "invalid_request"),
    ],
)
async def test_what_is_refused_costs_nothing(caller, origin, endpoint, fields, code) -> None:
    assert (await caller.post(endpoint, **fields)).error == (400, code)
    assert origin.balance_micros("ky-caller") == 100_000_000


@pytest.mark.parametrize(("endpoint", "balance"), [("music", "4.049999"), ("sfx", "0.026999")])
async def test_too_little_money(caller, origin, endpoint, balance) -> None:
    origin.behaviour = Behaviour(starting_balance_usd=balance)

    assert (await caller.post(endpoint, prompt="x")).error == (402, "billing_error")
