import asyncio
import json

import aiohttp
import pytest

from kyma_proxy.simulators.minimax import Behaviour, Fault
from kyma_proxy.simulators.minimax.control import describe, inject

VOICE = "gw3f9a1c2b7e4d5566"


async def switch(caller, name: str, body: object = None) -> dict:
    async with caller.session.post(f"/_simulator/{name}", json=body) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def test_a_fault_can_be_injected_over_http(caller) -> None:
    said = await switch(caller, "faults", {"path": "/v1/get_voice", "error_code": 1008, "drop_fields": ["x"]})

    assert said["faults"][0]["error_code"] == 1008
    refused = await caller.post("/v1/get_voice", voice_type="all")
    assert refused == {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}
    assert (await caller.post("/v1/get_voice", voice_type="all"))["base_resp"]["status_code"] == 0


async def test_behaviour_is_changed_field_by_field(caller, simulator) -> None:
    await switch(caller, "behaviour", {"clone_seconds": 1})
    await switch(caller, "behaviour", {"calls_per_minute": {"/v1/voice_clone": 2}})

    assert simulator.behaviour == Behaviour(clone_seconds=1.0, calls_per_minute={"/v1/voice_clone": 2})


async def test_the_clock_moves_and_voices_vanish(caller, wav) -> None:
    await caller.clone(VOICE, await caller.file_id(wav(12), "ref.wav"))

    before = await switch(caller, "clock", {"advance_seconds": 60})
    after = await switch(caller, "clock", {"advance_seconds": 168 * 3600})

    assert before["voices"] == [{"voice_id": VOICE, "voice_type": "voice_cloning", "active": False}]
    assert after["voices"] == []
    assert after["burned_voice_ids"] == [VOICE]


async def test_state_shows_the_account_but_no_key(caller, simulator, wav) -> None:
    file_id = await caller.file_id(wav(1), "ref.wav")

    async with caller.session.get("/_simulator/state") as reply:
        text = await reply.text()

    assert json.loads(text)["files"] == [
        {"file_id": file_id, "filename": "ref.wav", "purpose": "voice_clone", "bytes": len(wav(1))}
    ]
    assert [call["path"] for call in json.loads(text)["calls"]] == ["/v1/files/upload"]
    assert simulator.api_key not in text


async def test_reset_forgets(caller, simulator) -> None:
    await caller.file_id(b"x", "ref.wav")
    await switch(caller, "behaviour", {"region_key_mismatch": True})

    said = await switch(caller, "reset")

    assert (said["files"], said["calls"], said["faults"]) == ([], [], [])
    assert simulator.behaviour == Behaviour()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("faults", {"path": "/v1/clone_voice"}),
        ("faults", {"eror_code": 1}),
        ("faults", []),
        ("behaviour", {"clone_seconds": "slow"}),
        ("behaviour", [1]),
        ("clock", {"advance_seconds": -1}),
    ],
)
async def test_what_is_not_understood_changes_nothing(caller, simulator, name, body) -> None:
    before = describe(simulator.state)
    async with caller.session.post(f"/_simulator/{name}", json=body) as reply:
        assert reply.status == 400
        assert await reply.text()

    after = describe(simulator.state)
    assert after | {"now_seconds": 0} == before | {"now_seconds": 0}


async def test_a_misspelt_path_is_refused_in_process_too(simulator) -> None:
    with pytest.raises(ValueError, match="no call has the path /v1/voice-clone"):
        inject(simulator.state, Fault(path="/v1/voice-clone"))


async def test_ids_without_access_and_faults_of_speech_are_set_over_http(caller) -> None:
    await switch(caller, "behaviour", {"inaccessible_voice_ids": ["voice-02"]})
    await switch(caller, "faults", {"path": "/v1/t2a_v2", "truncate_at": 1})
    speech = {"model": "speech-02-hd", "text": "Hello.", "stream": True}

    refused = await caller.post("/v1/t2a_v2", **speech, voice_setting={"voice_id": "voice-02"})
    assert refused["base_resp"]["status_code"] == 2042
    await switch(caller, "faults", {"path": "/v1/t2a_v2", "truncate_at": 1})
    async with caller.session.post(
        "/v1/t2a_v2", json=speech | {"voice_setting": {"voice_id": "English_Graceful_Lady"}}
    ) as reply:
        assert (await reply.read()).count(b"data: ") == 1
    async with caller.session.get("/_simulator/state") as reply:
        calls = json.loads(await reply.text())["calls"]
    assert [(call["events"], call["client_left"]) for call in calls] == [(0, False), (1, False)]
    assert calls[1]["audio_bytes"] > 0


UPLOAD, CLONE, LIST = "/v1/files/upload", "/v1/voice_clone", "/v1/files/list"
LOST = {"reset": {"reset": True, "moment": "after"}, "stalled": {"stall_seconds": 600, "moment": "after"}}


@pytest.mark.parametrize("lost", LOST)
async def test_a_voice_is_made_and_the_answer_lost(caller, simulator, wav, lost) -> None:
    file_id = await caller.file_id(wav(12), "ref.wav")
    await switch(caller, "faults", {"path": CLONE, **LOST[lost]})

    with pytest.raises((aiohttp.ClientOSError, TimeoutError)):
        async with asyncio.timeout(0.5):
            await caller.clone(VOICE, file_id)

    assert list(simulator.voices) == [VOICE]
    assert (await caller.clone(VOICE, file_id))["base_resp"]["status_code"] == 2039


@pytest.mark.parametrize("lost", LOST)
async def test_an_upload_is_stored_and_the_answer_lost(caller, simulator, wav, lost) -> None:
    await switch(caller, "faults", {"path": UPLOAD, **LOST[lost]})

    with pytest.raises((aiohttp.ClientOSError, TimeoutError)):
        async with asyncio.timeout(0.5):
            await caller.upload(wav(12), "ref.wav")

    listed = await caller.get(LIST, purpose="voice_clone")
    assert [(kept["file_id"], kept["filename"]) for kept in listed["files"]] == [(*simulator.files, "ref.wav")]


async def test_a_listing_that_fails(caller, simulator, wav) -> None:
    file_id = await caller.file_id(wav(1), "ref.wav")
    for fault in ({"error_code": 1000}, {"set_fields": {"files": None}}, {"http_status": 502}):
        await switch(caller, "faults", {"path": LIST, **fault})
    await switch(caller, "faults", {"path": LIST, "reset": True, "times": None})

    assert (await caller.get(LIST, purpose="voice_clone"))["base_resp"]["status_code"] == 1000
    assert (await caller.get(LIST, purpose="voice_clone"))["files"] is None
    async with caller.session.get(LIST, params={"purpose": "voice_clone"}) as reply:
        assert reply.status == 502
    with pytest.raises(aiohttp.ClientOSError):
        await caller.get(LIST, purpose="voice_clone")
    assert list(simulator.files) == [file_id]
