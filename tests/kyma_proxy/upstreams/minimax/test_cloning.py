"""Cloning when all goes well, when answers get lost, and what must not be left at the provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from kyma_proxy.failpoints import Failpoint
from kyma_proxy.settings.models import UpstreamTimeouts
from kyma_proxy.simulators.minimax import Fault, MiniMaxSimulator
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax import cloning
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.voices.provider import ProviderError, Recording, StoredUpload, VoiceProvider

RECORDING = Recording(bytearray(b"RIFF" + bytes(1000)), "wav")
SPEECH = Recording(sample_recording(), "mp3")
VOICE = "kyma_0123456789abcdef"
FILE = 318207745120993412
UPLOAD, CLONE, LIST, DELETE_FILE = "/v1/files/upload", "/v1/voice_clone", "/v1/files/list", "/v1/files/delete"


def account_of(upstream: MiniMaxUpstream) -> VoiceProvider:
    return upstream.voice_accounts.choose()


@pytest.fixture
async def make(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[tuple[MiniMaxUpstream, Tasks]]]]:
    structlog.reset_defaults()
    monkeypatch.setattr(cloning, "CLEANUP_DELAYS_SECONDS", (0.01, 0.01, None))
    opened: list[tuple[MiniMaxUpstream, Tasks]] = []

    async def start(base_url: str, failpoints: Any = None, **more: Any) -> tuple[MiniMaxUpstream, Tasks]:
        tasks = Tasks()
        rigged = {} if failpoints is None else {"failpoints": failpoints}
        upstream = MiniMaxUpstream("minimax", settings(base_url, **more), tasks, **rigged)
        opened.append((upstream, tasks))
        await upstream.start()
        return upstream, tasks

    yield start
    for upstream, tasks in opened:
        await tasks.drain(5)
        await upstream.stop()


@pytest.fixture
async def simulator() -> AsyncIterator[MiniMaxSimulator]:
    async with MiniMaxSimulator() as running:
        yield running


@pytest.fixture
async def at(make: Any, simulator: MiniMaxSimulator) -> Callable[..., Awaitable[tuple[MiniMaxUpstream, Tasks]]]:
    """Starts an upstream at the simulated provider, with time limits that only a stall reaches."""
    patient = {"timeouts": UpstreamTimeouts(), "clone_timeout_seconds": 10, "api_key": simulator.api_key}

    async def start(failpoints: Any = None, **more: Any) -> tuple[MiniMaxUpstream, Tasks]:
        made: tuple[MiniMaxUpstream, Tasks] = await make(simulator.base_url, failpoints, **{**patient, **more})
        return made

    return start


class Rig:
    """Failpoints that remember what was passed, and do at a point what `acts` has for it, once each."""

    def __init__(self, **acts: list[Callable[[], Awaitable[object]]]) -> None:
        self.acts = {Failpoint[name]: actions for name, actions in acts.items()}
        self.passed: list[Failpoint] = []

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        self.passed.append(point)
        if self.acts.get(point):
            await self.acts[point].pop(0)()


def lose(kind: FailureKind) -> Callable[[], Awaitable[object]]:
    async def act() -> None:
        raise TransportError(kind, "as if")

    return act


def paths(provider: Any) -> list[str]:
    return [path for path, _ in provider.calls]


def called(simulator: MiniMaxSimulator) -> list[str]:
    return [call.path for call in simulator.calls]


def verdict(error: ProviderError) -> tuple[int | None, bool, bool]:
    return error.code, error.should_retry, error.outcome_known


async def failure(call: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    return caught.value


async def test_the_answer_does_not_wait_for_the_deletion(make: Any, provider: Any) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()

    provider.answers["/v1/files/delete"] = slow
    upstream, tasks = await make(provider.base_url)
    await account_of(upstream).clone_voice(VOICE, RECORDING)
    await asyncio.wait_for(asked.wait(), 2)
    assert tasks.obligations == 1
    go_on.set()


@pytest.mark.parametrize(("code", "outcome_known"), [(2037, True), (1000, False), (2039, False)])
async def test_the_upload_is_deleted_after_a_clone_that_failed(
    code: int, outcome_known: bool, make: Any, provider: Any
) -> None:
    provider.answers["/v1/voice_clone"] = {"base_resp": {"status_code": code, "status_msg": "no"}}
    upstream, tasks = await make(provider.base_url)
    error = await failure(account_of(upstream).clone_voice(VOICE, RECORDING))
    assert (error.code, error.should_retry, error.outcome_known) == (code, False, outcome_known)
    assert await tasks.drain(5)
    assert paths(provider) == ["/v1/files/upload", "/v1/voice_clone", "/v1/files/delete"]


async def test_the_upload_is_deleted_when_the_caller_stops_waiting(make: Any, provider: Any) -> None:
    cloning = asyncio.Event()

    async def stall(writer: asyncio.StreamWriter) -> None:
        cloning.set()
        await asyncio.sleep(5)

    provider.answers["/v1/voice_clone"] = stall
    upstream, tasks = await make(provider.base_url, clone_timeout_seconds=30)
    caller = asyncio.get_running_loop().create_task(account_of(upstream).clone_voice(VOICE, RECORDING))
    await asyncio.wait_for(cloning.wait(), 2)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await tasks.drain(5)
    assert paths(provider)[-1] == "/v1/files/delete"


@pytest.mark.parametrize(("code", "should_retry"), [(1002, True), (1004, False), (1000, False)])
async def test_an_upload_that_failed_made_no_voice(code: int, should_retry: bool, make: Any, provider: Any) -> None:
    provider.answers["/v1/files/upload"] = {"base_resp": {"status_code": code, "status_msg": "no"}}
    upstream, tasks = await make(provider.base_url)
    error = await failure(account_of(upstream).clone_voice(VOICE, RECORDING))
    assert (error.code, error.should_retry, error.outcome_known) == (code, should_retry, True)
    assert tasks.obligations == 0
    assert paths(provider) == ["/v1/files/upload"]


async def test_a_refused_connection_may_be_retried(make: Any, refused_url: str) -> None:
    upstream, _ = await make(refused_url)
    error = await failure(account_of(upstream).clone_voice(VOICE, RECORDING))
    assert (error.code, error.should_retry, error.outcome_known) == (None, True, True)


@pytest.mark.parametrize(("code", "attempts"), [(1000, 3), (1002, 3), (2013, 1)])
async def test_deleting_the_upload_is_tried_a_few_times_where_that_may_help(
    code: int, attempts: int, make: Any, provider: Any
) -> None:
    provider.answers["/v1/files/delete"] = {"base_resp": {"status_code": code, "status_msg": "no"}}
    upstream, tasks = await make(provider.base_url)
    with capture_logs() as logs:
        await account_of(upstream).clone_voice(VOICE, RECORDING)
        assert await tasks.drain(5)
    assert paths(provider).count("/v1/files/delete") == attempts
    (left_over,) = [log for log in logs if log["event"] == "provider_upload_left_over"]
    assert (left_over["file_id"], left_over["filename"]) == (FILE, f"{VOICE}.wav")


@pytest.mark.parametrize(
    ("fault", "how_it_ended"),
    [
        (Fault(path=CLONE, reset=True, moment="after"), "provider_voice_made_before"),
        (Fault(path=CLONE, stall_seconds=30, moment="after"), "provider_voice_made_before"),
        (Fault(path=CLONE, reset=True), "provider_voice_made_now"),
        (Fault(path=CLONE, stall_seconds=30), "provider_voice_made_now"),
    ],
)
async def test_a_lost_answer_is_asked_for_once_more(
    fault: Fault, how_it_ended: str, at: Any, simulator: MiniMaxSimulator
) -> None:
    simulator.inject(fault)
    upstream, tasks = await at(clone_timeout_seconds=0.5)
    with capture_logs() as logs:
        await account_of(upstream).clone_voice(VOICE, SPEECH)
    assert await tasks.drain(5)
    assert list(simulator.voices) == [VOICE]
    assert called(simulator) == [UPLOAD, CLONE, CLONE, DELETE_FILE]
    first, second = (call.json for call in simulator.calls if call.path == CLONE)
    assert first == second
    assert not simulator.files
    (asked,) = [log for log in logs if log["event"] == "provider_voice_asked_again"]
    assert (asked["log_level"], asked["voice_id"]) == ("warning", VOICE)
    assert [log["voice_id"] for log in logs if log["event"] == how_it_ended] == [VOICE]


async def test_the_second_ask_is_the_same_to_the_byte(make: Any, provider: Any) -> None:
    async def lost(writer: asyncio.StreamWriter) -> None:
        provider.answers[CLONE] = {"base_resp": {"status_code": 2039, "status_msg": "voice clone voice id duplicate"}}

    provider.answers[CLONE] = lost
    upstream, _ = await make(provider.base_url)
    await account_of(upstream).clone_voice(VOICE, RECORDING)
    first, second = (body for path, body in provider.calls if path == CLONE)
    assert first == second == f'{{"file_id":{FILE},"voice_id":"{VOICE}"}}'.encode()


async def test_two_answers_that_do_not_come_leave_the_outcome_open(at: Any, simulator: MiniMaxSimulator) -> None:
    simulator.inject(Fault(path=CLONE, stall_seconds=30, times=None))
    upstream, tasks = await at(clone_timeout_seconds=0.2)
    with capture_logs() as logs:
        error = await failure(account_of(upstream).clone_voice(VOICE, SPEECH))
    assert verdict(error) == (None, False, False)
    assert await tasks.drain(5)
    assert called(simulator) == [UPLOAD, CLONE, CLONE, DELETE_FILE]
    assert [log["voice_id"] for log in logs if log["event"] == "provider_voice_still_unknown"] == [VOICE]


@pytest.mark.parametrize("code", [1000, 1002, 1004, 2013, 2037, 20132])
async def test_a_second_ask_that_is_refused_says_nothing_of_the_first(
    code: int, at: Any, simulator: MiniMaxSimulator
) -> None:
    simulator.inject(Fault(path=CLONE, reset=True))
    simulator.inject(Fault(path=CLONE, error_code=code))
    upstream, _ = await at()
    error = await failure(account_of(upstream).clone_voice(VOICE, SPEECH))
    assert verdict(error) == (code, False, False)
    assert called(simulator).count(CLONE) == 2
    assert "broken" in error.message
    assert f"{code} " in error.message


async def test_a_second_ask_that_finds_nobody_says_nothing_of_the_first(at: Any, simulator: MiniMaxSimulator) -> None:
    rig = Rig(CLONE_CALL=[lose(FailureKind.SILENT), lose(FailureKind.REFUSED)])
    upstream, _ = await at(rig)
    assert verdict(await failure(account_of(upstream).clone_voice(VOICE, SPEECH))) == (None, False, False)
    assert rig.passed.count(Failpoint.CLONE_CALL) == 2
    assert called(simulator).count(CLONE) == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        *((Fault(path=CLONE, error_code=code), code) for code in (1000, 1001, 1013, 2039)),
        (Fault(path=CLONE, error_code=1001, moment="after"), 1001),
        (Fault(path=CLONE, http_status=502), None),
        (Fault(path=CLONE, http_status=200), None),
        (Fault(path=CLONE, drop_fields=("base_resp",)), None),
    ],
)
async def test_an_answered_failure_is_not_asked_about_again(
    fault: Fault, code: int | None, at: Any, simulator: MiniMaxSimulator
) -> None:
    simulator.inject(fault)
    upstream, tasks = await at()
    assert verdict(await failure(account_of(upstream).clone_voice(VOICE, SPEECH))) == (code, False, False)
    assert await tasks.drain(5)
    assert called(simulator) == [UPLOAD, CLONE, DELETE_FILE]


async def test_a_clone_that_finds_nobody_is_not_asked_for_again(at: Any, simulator: MiniMaxSimulator) -> None:
    async def go_away() -> None:
        await simulator.stop()
        await asyncio.sleep(0.05)  # until the kept-alive connection is seen to have ended

    rig = Rig(CLONE_CALL=[go_away])
    upstream, _ = await at(rig)
    assert verdict(await failure(account_of(upstream).clone_voice(VOICE, SPEECH))) == (None, True, True)
    assert rig.passed == [Failpoint.UPLOAD_CALL, Failpoint.UPLOAD_ANSWERED, Failpoint.CLONE_CALL]
    assert not simulator.voices


async def test_the_upload_is_kept_until_the_second_ask_has_ended(at: Any, simulator: MiniMaxSimulator) -> None:
    kept: list[int] = []

    async def look() -> None:
        await asyncio.sleep(0.05)
        kept.append(len(simulator.files))

    async def lose_it() -> None:
        await look()
        raise TransportError(FailureKind.BROKEN, "as if")

    rig = Rig(CLONE_CALL=[look, look], CLONE_ANSWERED=[lose_it, look])
    upstream, tasks = await at(rig)
    with capture_logs() as logs:
        assert (await failure(account_of(upstream).clone_voice(VOICE, Recording(b"no speech", "mp3")))).code == 1000
    assert kept == [1, 1, 1, 1]
    assert await tasks.drain(5)
    assert not simulator.files
    assert "provider_voice_asked_again" in {log["event"] for log in logs}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=UPLOAD, reset=True, moment="after"),
        Fault(path=UPLOAD, stall_seconds=30, moment="after"),
        Fault(path=UPLOAD, http_status=502, moment="after"),
        Fault(path=UPLOAD, drop_fields=("file.file_id",)),
    ],
)
async def test_an_upload_whose_answer_is_lost_is_found_and_deleted(
    fault: Fault, at: Any, simulator: MiniMaxSimulator
) -> None:
    simulator.inject(fault)
    upstream, tasks = await at(timeouts=UpstreamTimeouts(first_byte_seconds=1))
    assert verdict(await failure(account_of(upstream).clone_voice(VOICE, SPEECH))) == (None, False, False)
    assert tasks.obligations == 0
    assert called(simulator) == [UPLOAD]
    (file_id,) = simulator.files
    assert await account_of(upstream).list_uploads() == [StoredUpload(file_id, VOICE)]
    await account_of(upstream).delete_upload(file_id)
    assert await account_of(upstream).list_uploads() == []
    await account_of(upstream).delete_upload(file_id)
    assert called(simulator)[-1] == DELETE_FILE


async def test_only_our_own_names_are_listed(at: Any, simulator: MiniMaxSimulator, client_of: Any) -> None:
    ours = ["kyma_0123456789abcdef.mp3", "kyma_ffffffffffffffff.wav", "kyma_0000000000000000.m4a"]
    foreign = [
        "ref.wav",
        "kyma_0123456789ABCDEF.mp3",
        "kyma_0123456789abcde.mp3",
        "kyma_0123456789abcdef0.mp3",
        "kyma_0123456789abcdef.ogg",
        "kyma_0123456789abcdef",
        "kyma_0123456789abcdef.mp3.mp3",
        " kyma_0123456789abcdef.mp3",
        "xkyma_0123456789abcdef.mp3",
        "kyma_0123456789abcdeg.mp3",
        "KYMA_0123456789abcdef.mp3",
    ]
    client = await client_of(simulator.base_url, api_key=simulator.api_key, timeouts=UpstreamTimeouts())
    ids = {name: await client.upload_file(Recording(b"x", "mp3"), name) for name in [*foreign, *ours]}
    upstream, _ = await at()
    found = await account_of(upstream).list_uploads()
    assert found == [StoredUpload(ids[name], name.partition(".")[0]) for name in ours]
    assert all(upload.file_id > 2**53 for upload in found)
    assert simulator.calls[-1].query == {"purpose": "voice_clone"}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(path=LIST, error_code=1002), (1002, True, True)),
        (Fault(path=LIST, error_code=1000), (1000, False, False)),
        (Fault(path=LIST, http_status=502), (None, False, False)),
        (Fault(path=LIST, reset=True), (None, False, False)),
        (Fault(path=LIST, set_fields={"files": "none"}), (None, False, True)),
    ],
)
async def test_a_listing_that_fails_is_no_empty_one(
    fault: Fault, expected: Any, at: Any, simulator: MiniMaxSimulator
) -> None:
    simulator.inject(fault)
    upstream, _ = await at()
    assert verdict(await failure(account_of(upstream).list_uploads())) == expected
    assert await account_of(upstream).list_uploads() == []


@pytest.mark.parametrize("fault", [Fault(set_fields={"files": None}), Fault(drop_fields=("files",))])
async def test_a_listing_with_nothing_in_it_may_be_null(fault: Fault, at: Any, simulator: MiniMaxSimulator) -> None:
    simulator.inject(fault)
    upstream, _ = await at()
    assert await account_of(upstream).list_uploads() == []
