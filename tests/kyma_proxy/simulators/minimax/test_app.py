import asyncio
import errno
import time

import aiohttp
import pytest

from kyma_proxy.simulators.minimax import Behaviour, Fault, MiniMaxSimulator

VOICE = "gw3f9a1c2b7e4d5566"
CLONE = "/v1/voice_clone"


@pytest.fixture
async def source(caller, wav) -> int:
    return await caller.file_id(wav(12), "ref.wav")


async def said_with(simulator, **headers: str) -> dict:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.base_url}/v1/get_voice", json={"voice_type": "all"}, headers=headers) as reply,
    ):
        assert reply.status == 200
        assert len(reply.headers["Trace-Id"]) == 32
        return (await reply.json())["base_resp"]


async def test_keys(simulator) -> None:
    missing = await said_with(simulator)
    assert missing["status_code"] == 1004
    assert "Authorization" in missing["status_msg"]
    assert (await said_with(simulator, Authorization="Basic x"))["status_code"] == 1004
    assert await said_with(simulator, Authorization="Bearer wrong") == {
        "status_code": 2049,
        "status_msg": "invalid api key",
    }
    assert (await said_with(simulator, Authorization="Bearer sk-api-simulated"))["status_code"] == 0


async def test_any_key_or_the_other_region(simulator) -> None:
    simulator.behaviour = Behaviour(accept_any_key=True)
    assert (await said_with(simulator, Authorization="Bearer other"))["status_code"] == 0
    simulator.behaviour = Behaviour(region_key_mismatch=True)
    assert (await said_with(simulator, Authorization="Bearer sk-api-simulated"))["status_code"] == 2049


async def test_an_error_code_instead_of_the_effect(caller, simulator, source) -> None:
    simulator.inject(Fault(path=CLONE, error_code=2038, error_message="no permission"))

    said = await caller.clone(VOICE, source)

    assert said == {"base_resp": {"status_code": 2038, "status_msg": "no permission"}}
    assert not simulator.voices


async def test_an_error_code_after_the_effect(caller, simulator, source) -> None:
    simulator.inject(Fault(path=CLONE, error_code=1001, moment="after"))

    assert (await caller.clone(VOICE, source))["base_resp"]["status_code"] == 1001
    assert VOICE in simulator.voices
    assert (await caller.clone(VOICE, source))["base_resp"]["status_code"] == 2039


async def test_a_bare_502_with_html(caller, simulator) -> None:
    simulator.inject(Fault(path="/v1/files/upload", http_status=502))

    async with caller.session.post("/v1/files/upload", data=b"x") as reply:
        assert (reply.status, reply.content_type) == (502, "text/html")
        assert "502 Bad Gateway" in await reply.text()
        assert reply.headers["Trace-Id"]


async def test_a_200_that_is_no_json(caller, simulator) -> None:
    simulator.inject(Fault(http_status=200, content="{", content_type="application/json"))

    async with caller.session.post("/v1/get_voice") as reply:
        assert (reply.status, await reply.text()) == (200, "{")


@pytest.mark.parametrize(("moment", "voices"), [("before", []), ("after", [VOICE])])
async def test_a_reset_connection(caller, simulator, source, moment, voices) -> None:
    simulator.inject(Fault(path=CLONE, reset=True, moment=moment))

    with pytest.raises(aiohttp.ClientOSError) as reset:
        await caller.clone(VOICE, source)

    assert reset.value.errno == errno.ECONNRESET
    assert list(simulator.voices) == voices


@pytest.mark.parametrize(("moment", "voices"), [("before", []), ("after", [VOICE])])
async def test_a_stall(caller, simulator, source, moment, voices) -> None:
    simulator.inject(Fault(path=CLONE, stall_seconds=0.3, moment=moment))
    started = time.monotonic()
    stalled = asyncio.create_task(caller.clone(VOICE, source))
    await simulator.wait_for_call(CLONE)
    await asyncio.sleep(0.1)

    assert list(simulator.voices) == voices
    assert (await stalled)["base_resp"]["status_code"] == 0
    assert time.monotonic() - started >= 0.3
    assert list(simulator.voices) == [VOICE]


async def test_fields_of_a_good_reply_can_be_changed(caller, simulator, source) -> None:
    fields = {"input_sensitive": {"type": 0}, "demo_audio": None}
    simulator.inject(Fault(path=CLONE, set_fields=fields, drop_fields=("input_sensitive_type",)))

    said = await caller.clone(VOICE, source)

    assert said == fields | {"base_resp": {"status_code": 0, "status_msg": "success"}}
    assert VOICE in simulator.voices


async def test_the_rate_limit_refuses_without_effect(caller, simulator, source) -> None:
    simulator.behaviour = Behaviour(calls_per_minute={CLONE: 1})
    await caller.clone(VOICE, source)

    async with caller.session.post(CLONE, json={"file_id": source, "voice_id": "another-1"}) as reply:
        assert len(await reply.read()) == 74
    simulator.advance(61)
    assert (await caller.clone("another-1", source))["base_resp"]["status_code"] == 0


async def test_it_can_go_away_and_come_back_with_its_account(caller, simulator, source) -> None:
    port = simulator.port
    await simulator.stop()
    await simulator.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.get("/v1/files/list", purpose="voice_clone")

    await simulator.start(port=port)

    assert (await caller.clone(VOICE, source))["base_resp"]["status_code"] == 0


async def test_stopping_does_not_wait_for_a_stalled_call(caller, simulator) -> None:
    simulator.inject(Fault(stall_seconds=60))
    stalled = asyncio.create_task(caller.post("/v1/get_voice", voice_type="all"))
    await simulator.wait_for_call("/v1/get_voice")

    async with asyncio.timeout(5):
        await simulator.stop()

    with pytest.raises(aiohttp.ClientError):
        await stalled


async def test_a_clone_that_stopping_cut_off_frees_its_id(caller, simulator, source) -> None:
    simulator.behaviour = Behaviour(clone_seconds=60)
    cut_off = asyncio.create_task(caller.clone(VOICE, source))
    await simulator.wait_for_call(CLONE)
    port = simulator.port
    await simulator.stop()
    with pytest.raises(aiohttp.ClientError):
        await cut_off

    simulator.behaviour = Behaviour()
    await simulator.start(port=port)

    assert (await caller.clone(VOICE, source))["base_resp"]["status_code"] == 0


async def test_it_cannot_start_twice_nor_on_a_taken_port(simulator) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        await simulator.start()
    other = MiniMaxSimulator()
    with pytest.raises(OSError, match="in use"):
        await other.start(port=simulator.port)
    await other.start()
    await other.stop()


async def test_waiting_for_a_call_that_does_not_come(simulator) -> None:
    with pytest.raises(TimeoutError, match="/v1/voice_clone was not called 1 times"):
        await simulator.wait_for_call(CLONE, timeout_seconds=0.02)


async def test_reset_and_repr(caller, simulator, source) -> None:
    await caller.clone(VOICE, source)
    assert repr(simulator) == f"MiniMaxSimulator({simulator.base_url}, State(files=1, voices=1, calls=2))"

    simulator.reset()

    assert (simulator.calls, dict(simulator.files), dict(simulator.voices)) == ([], {}, {})
