import re

import pytest

from kyma_proxy.simulators.origin import Behaviour


async def test_the_list_is_cached_for_everyone(caller) -> None:
    first = await caller.send("GET", "/v1/audio/voices")
    second = await caller.send("GET", "/v1/audio/voices", key="ky-other")

    assert (first.status, first.headers["X-Kyma-Cache"], second.headers["X-Kyma-Cache"]) == (200, "miss", "hit")
    assert first.body == second.body
    assert first.json["object"] == "list"
    assert len(first.json["data"]) >= 5
    for voice in first.json["data"]:
        assert set(voice) == {"voice_id", "name", "category", "labels", "preview_url", "description"}


async def test_a_voice_is_designed(caller, origin) -> None:
    said = await caller.post(
        "voice-design", text="A warm old voice", name="grandpa", gender="male", age_group="elderly"
    )

    assert said.status == 200
    assert re.fullmatch("kyma_[0-9a-f]{16}", said.json.pop("voice_id"))
    assert said.json == {
        "name": "grandpa",
        "model": "minimax-voice-design",
        "cost_usd": 4.2,
        "balance_usd": 95.8,
    }
    assert (said.headers["X-Kyma-Cost-USD"], said.headers["X-Kyma-Balance-USD"]) == ("4.20", "95.80")
    assert origin.balance_micros("ky-caller") == 95_800_000


async def test_a_designed_voice_speaks_for_its_owner_only(caller) -> None:
    voice_id = (await caller.post("voice-design", description="Calm")).json["voice_id"]

    assert (await caller.post("speech", input="Hi", voice_id=voice_id)).status == 200
    assert (await caller.post("speech", input="Hi", voice_id=voice_id, key="ky-b")).error == (403, "voice_not_owned")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "invalid_request"),
        ({"description": "  "}, "invalid_request"),
        ({"description": 7}, "invalid_request"),
        ({"description": "x" * 1001}, "description_too_long"),
        ({"description": "x", "model": "minimax-voice-clone"}, "not_a_voice_design_model"),
        ({"description": "x", "name": "n" * 65}, "invalid_request"),
        ({"description": "x", "preview_text": "p" * 501}, "invalid_request"),
        ({"description": "x", "gender": "other"}, "invalid_request"),
        ({"description": "x", "age_group": "old"}, "invalid_request"),
    ],
)
async def test_designs_that_are_refused_cost_nothing(caller, origin, fields, code) -> None:
    assert (await caller.post("voice-design", **fields)).error == (400, code)
    assert origin.balance_micros("ky-caller") == 100_000_000


async def test_design_has_its_own_word_for_too_little_money(caller, origin) -> None:
    origin.behaviour = Behaviour(starting_balance_usd="4.19")

    assert (await caller.post("voice-design", description="x")).error == (402, "insufficient_credits")
