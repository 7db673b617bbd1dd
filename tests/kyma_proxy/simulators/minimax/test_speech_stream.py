import asyncio
import hashlib
import json
import time

import aiohttp
import pytest

from kyma_proxy.simulators.minimax import Behaviour, Fault

T2A = "/v1/t2a_v2"
STREAM = {
    "model": "speech-2.8-turbo",
    "text": "Mind the gap between the train and the platform, please. " * 3,
    "stream": True,
    "stream_options": {"exclude_aggregated_audio": True},
    "voice_setting": {"voice_id": "English_Graceful_Lady"},
}


async def wire(caller, **fields) -> bytes:
    async with caller.session.post(T2A, json=STREAM | fields) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        assert reply.headers["Connection"] == "close"
        return await reply.read()


async def events(caller, **fields) -> list[dict]:
    lines = (await wire(caller, **fields)).decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: {") and "\n" not in line for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def audio(said: list[dict]) -> bytes:
    return b"".join(bytes.fromhex(event["data"]["audio"]) for event in said if event["data"])


async def test_a_stream_has_the_documented_habits(caller, simulator) -> None:
    *chunks, closing = await events(caller)

    assert len(chunks) > 5
    for chunk in chunks:
        assert chunk.keys() == {"data", "trace_id", "base_resp"}
        assert (chunk["data"]["status"], chunk["data"]["ced"]) == (1, "")
        assert chunk["base_resp"] == {"status_code": 0, "status_msg": ""}
    assert closing["data"] == {"audio": "", "status": 2, "ced": ""}
    assert closing["base_resp"] == {"status_code": 0, "status_msg": "success"}
    assert closing["extra_info"]["usage_characters"] == len(STREAM["text"])
    progress = simulator.calls[-1].progress
    assert (progress.events, progress.complete) == (len(chunks) + 1, True)
    assert progress.audio_sha256 == hashlib.sha256(audio(chunks)).hexdigest()
    assert audio(chunks).startswith(b"ID3")


async def test_without_being_told_the_closing_event_repeats_everything_and_not_byte_for_byte(caller, simulator) -> None:
    for fields in ({"stream_options": {}}, {"stream_options": None}):
        *chunks, closing = await events(caller, **fields)
        whole = bytes.fromhex(closing["data"]["audio"])

        assert len(whole) == closing["extra_info"]["audio_size"]
        assert whole != audio(chunks)
        assert audio(chunks).endswith(whole)
        assert simulator.calls[-1].progress.audio_bytes == len(audio(chunks))


async def test_the_repetition_is_one_enormous_line(caller) -> None:
    said = await wire(caller, stream_options={}, text="x" * 3000, audio_setting={"bitrate": 64000})

    assert max(map(len, said.split(b"\n"))) > 2 * 1024 * 1024


async def test_the_request_to_leave_it_out_can_be_ignored(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, ignore_exclusion=True))

    assert (await events(caller))[-1]["data"]["audio"]


async def test_pieces_end_in_the_middle_of_a_sample(caller) -> None:
    *chunks, _ = await events(caller, audio_setting={"format": "pcm", "sample_rate": 24000})

    assert len(bytes.fromhex(chunks[0]["data"]["audio"])) % 2 == 1
    assert len(audio(chunks)) == 2 * 24000 * round(171 / 15, 1)


async def test_the_size_of_a_piece_can_be_chosen(caller, simulator) -> None:
    simulator.behaviour = Behaviour(stream_chunk_bytes=1024 * 1024)

    assert len(await events(caller)) == 2


async def refused(caller, **fields) -> dict:
    async with caller.session.post(T2A, json=STREAM | fields) as reply:
        assert (reply.status, reply.content_type) == (200, "application/json")
        return await reply.json()


async def test_a_refusal_is_json(caller, simulator) -> None:
    assert (await refused(caller, model="x"))["base_resp"]["status_code"] == 2013
    assert (await refused(caller, audio_setting={"format": "wav"}))["base_resp"]["status_code"] == 2013
    simulator.inject(Fault(path=T2A, error_code=1008, placeholder_audio=True))
    said = await refused(caller)
    assert said["base_resp"]["status_code"] == 1008
    assert bytes.fromhex(said["data"]["audio"])


async def test_a_refusal_as_one_single_event(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, error_code=1002, error_as="sse"))

    (said,) = await events(caller)

    assert said["base_resp"] == {"status_code": 1002, "status_msg": "rate limit exceeded(RPM)"}
    assert said["data"] is None


@pytest.mark.parametrize("placeholder", [False, True])
async def test_an_error_after_good_chunks(caller, simulator, placeholder) -> None:
    simulator.inject(Fault(path=T2A, error_code=1027, error_after_chunks=3, placeholder_audio=placeholder))

    *chunks, last = await events(caller)

    assert [chunk["base_resp"]["status_code"] for chunk in chunks] == [0, 0, 0]
    assert last["base_resp"]["status_code"] == 1027
    assert bool(last["data"]) is placeholder
    assert "extra_info" not in last


async def test_an_error_in_the_closing_event_alone(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, error_code=1024, error_as="closing"))

    *chunks, closing = await events(caller)

    assert audio(chunks)
    assert closing["extra_info"]
    assert closing["base_resp"]["status_code"] == 1024


@pytest.mark.parametrize("as_what", ["sse", "closing"])
async def test_without_a_stream_every_error_is_json(caller, simulator, as_what) -> None:
    simulator.inject(Fault(path=T2A, error_code=1024, error_as=as_what))

    assert (await refused(caller, stream=False))["base_resp"]["status_code"] == 1024


@pytest.mark.parametrize("count", [0, 2])
async def test_a_stream_that_ends_cleanly_without_its_closing_event(caller, simulator, count) -> None:
    simulator.inject(Fault(path=T2A, truncate_at=count))

    said = await events(caller) if count else await wire(caller)

    assert len(said) == count
    assert simulator.calls[-1].progress.complete


async def test_a_reset_in_the_middle(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, reset_at=2, chunk_stall_seconds=0.02))

    with pytest.raises(aiohttp.ClientError):
        await wire(caller)

    assert simulator.calls[-1].progress.events == 2
    assert not simulator.calls[-1].progress.complete


async def test_events_without_data_among_the_good_ones(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, null_data=True, bare_chunks=True))

    said = await events(caller)

    assert [event["data"] is None for event in said[:4]] == [False, True, False, True]
    assert "base_resp" not in said[0]
    assert hashlib.sha256(audio(said)).hexdigest() == simulator.calls[-1].progress.audio_sha256


@pytest.mark.parametrize(("kind", "end"), [("odd", ""), ("tail", "zz??")])
async def test_broken_hex(caller, simulator, kind, end) -> None:
    simulator.inject(Fault(path=T2A, bad_hex=kind, times=2))

    second = (await events(caller))[1]["data"]["audio"]
    whole = (await caller.post(T2A, **(STREAM | {"stream": False})))["data"]["audio"]

    for broken in (second, whole):
        assert broken.endswith(end)
        with pytest.raises(ValueError, match="hex"):
            bytes.fromhex(broken)


async def test_a_whole_reply_without_data_or_with_a_link_nobody_asked_for(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, null_data=True))
    simulator.inject(Fault(path=T2A, url_audio=True))

    first, second = [await caller.post(T2A, **(STREAM | {"stream": False})) for _ in range(2)]

    assert (first["data"], first["base_resp"]["status_code"]) == (None, 0)
    assert second["data"]["audio"].startswith("https://")


async def test_the_wire_can_be_cut_anywhere(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, split_bytes=7))
    pieces = []
    async with caller.session.post(T2A, json=STREAM | {"text": "é" * 30}) as reply:
        async for piece, _ in reply.content.iter_chunks():
            pieces.append(piece)

    assert max(map(len, pieces)) == 7
    assert b"".join(pieces).endswith(b"}\n\n")


async def test_the_first_byte_can_be_slow_and_so_can_every_other(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, slow_first_byte_seconds=0.1, chunk_stall_seconds=0.05))
    started, moments = time.monotonic(), []
    async with caller.session.post(T2A, json=STREAM | {"text": "x" * 15}) as reply:
        async for _ in reply.content.iter_any():
            moments.append(time.monotonic() - started)

    assert moments[0] >= 0.1
    assert moments[-1] - moments[0] >= 0.09


@pytest.mark.parametrize("stream", [True, False])
async def test_a_leaving_caller_is_noticed_at_once(caller, simulator, stream) -> None:
    simulator.inject(Fault(path=T2A, slow_first_byte_seconds=30))

    async def ask() -> None:
        async with caller.session.post(T2A, json=STREAM | {"stream": stream}) as reply:
            await reply.read()

    asking = asyncio.create_task(ask())
    call = await simulator.wait_for_call(T2A)
    await asyncio.sleep(0.05)
    assert call.progress.client_left_at is None
    left_at = time.monotonic()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    async with asyncio.timeout(1):
        while call.progress.client_left_at is None:
            await asyncio.sleep(0.01)

    assert left_at <= call.progress.client_left_at < left_at + 0.5
    assert call.progress.events == 0


async def test_a_caller_that_leaves_between_events_stops_them(caller, simulator) -> None:
    simulator.inject(Fault(path=T2A, chunk_stall_seconds=0.05))
    async with caller.session.post(T2A, json=STREAM) as reply:
        await reply.content.readany()
        reply.close()
    (call,) = simulator.calls

    async with asyncio.timeout(1):
        while call.progress.client_left_at is None:
            await asyncio.sleep(0.01)

    assert call.progress.events < 4
    assert not call.progress.complete


async def test_making_each_piece_may_take_its_time(caller, simulator) -> None:
    simulator.behaviour = Behaviour(stream_chunk_seconds=0.02)
    started = time.monotonic()

    count = len(await events(caller))

    assert time.monotonic() - started >= 0.02 * (count - 1)
