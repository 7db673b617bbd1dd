"""Cloning and deleting voices, and the upload that must not be left at the provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.minimax import upstream as minimax_upstream
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.voices.provider import ProviderError, Recording, VoiceProvider

RECORDING = Recording(bytearray(b"RIFF" + bytes(1000)), "wav")
VOICE = "kyma_0123456789abcdef"
FILE = 318207745120993412


@pytest.fixture
async def make(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[tuple[MiniMaxUpstream, Tasks]]]]:
    monkeypatch.setattr(minimax_upstream, "CLEANUP_DELAYS_SECONDS", (0.01, 0.01, None))
    opened: list[tuple[MiniMaxUpstream, Tasks]] = []

    async def start(base_url: str, **more: Any) -> tuple[MiniMaxUpstream, Tasks]:
        tasks = Tasks()
        upstream = MiniMaxUpstream("minimax", settings(base_url, **more), tasks)
        opened.append((upstream, tasks))
        await upstream.start()
        return upstream, tasks

    yield start
    for upstream, tasks in opened:
        await tasks.drain(5)
        await upstream.stop()


def paths(provider: Any) -> list[str]:
    return [path for path, _ in provider.calls]


async def failure(call: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    return caught.value


async def test_a_clone_uploads_under_the_voice_id_and_deletes_the_upload(make: Any, provider: Any) -> None:
    upstream, tasks = await make(provider.base_url, provider_account="team-a")
    assert isinstance(upstream, VoiceProvider)
    assert (upstream.name, upstream.provider_account) == ("minimax", "team-a")
    await upstream.clone_voice(VOICE, RECORDING)
    assert await tasks.drain(5)
    assert paths(provider) == ["/v1/files/upload", "/v1/voice_clone", "/v1/files/delete"]
    assert f'filename="{VOICE}.wav"'.encode() in provider.calls[0][1]
    assert provider.json_of("/v1/voice_clone") == [{"file_id": FILE, "voice_id": VOICE}]
    assert provider.json_of("/v1/files/delete") == [{"file_id": FILE, "purpose": "voice_clone"}]


async def test_the_answer_does_not_wait_for_the_deletion(make: Any, provider: Any) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()

    provider.answers["/v1/files/delete"] = slow
    upstream, tasks = await make(provider.base_url)
    await upstream.clone_voice(VOICE, RECORDING)
    await asyncio.wait_for(asked.wait(), 2)
    assert tasks.obligations == 1
    go_on.set()


@pytest.mark.parametrize(("code", "outcome_known"), [(2037, True), (1000, False), (2039, False)])
async def test_the_upload_is_deleted_after_a_clone_that_failed(
    code: int, outcome_known: bool, make: Any, provider: Any
) -> None:
    provider.answers["/v1/voice_clone"] = {"base_resp": {"status_code": code, "status_msg": "no"}}
    upstream, tasks = await make(provider.base_url)
    error = await failure(upstream.clone_voice(VOICE, RECORDING))
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
    caller = asyncio.get_running_loop().create_task(upstream.clone_voice(VOICE, RECORDING))
    await asyncio.wait_for(cloning.wait(), 2)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await tasks.drain(5)
    assert paths(provider)[-1] == "/v1/files/delete"


async def test_a_clone_that_gives_no_answer_leaves_the_outcome_open(make: Any, provider: Any) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    provider.answers["/v1/voice_clone"] = stall
    upstream, _ = await make(provider.base_url, clone_timeout_seconds=0.2)
    error = await failure(upstream.clone_voice(VOICE, RECORDING))
    assert (error.code, error.should_retry, error.outcome_known) == (None, False, False)
    assert paths(provider).count("/v1/voice_clone") == 1


@pytest.mark.parametrize(("code", "should_retry"), [(1002, True), (1004, False), (1000, False)])
async def test_an_upload_that_failed_made_no_voice(code: int, should_retry: bool, make: Any, provider: Any) -> None:
    provider.answers["/v1/files/upload"] = {"base_resp": {"status_code": code, "status_msg": "no"}}
    upstream, tasks = await make(provider.base_url)
    error = await failure(upstream.clone_voice(VOICE, RECORDING))
    assert (error.code, error.should_retry, error.outcome_known) == (code, should_retry, True)
    assert tasks.obligations == 0
    assert paths(provider) == ["/v1/files/upload"]


async def test_an_upload_that_may_be_left_over_is_logged(make: Any, provider: Any) -> None:
    async def close(writer: asyncio.StreamWriter) -> None:
        pass

    provider.answers["/v1/files/upload"] = close
    upstream, _ = await make(provider.base_url)
    with capture_logs() as logs:
        error = await failure(upstream.clone_voice(VOICE, RECORDING))
    assert error.outcome_known
    assert {"event": "provider_upload_left_over", "filename": f"{VOICE}.wav", "log_level": "warning"} in logs


async def test_a_refused_connection_may_be_retried(make: Any, refused_url: str) -> None:
    upstream, _ = await make(refused_url)
    error = await failure(upstream.clone_voice(VOICE, RECORDING))
    assert (error.code, error.should_retry, error.outcome_known) == (None, True, True)


@pytest.mark.parametrize(("code", "attempts"), [(1000, 3), (1002, 3), (2013, 1)])
async def test_deleting_the_upload_is_tried_a_few_times_where_that_may_help(
    code: int, attempts: int, make: Any, provider: Any
) -> None:
    provider.answers["/v1/files/delete"] = {"base_resp": {"status_code": code, "status_msg": "no"}}
    upstream, tasks = await make(provider.base_url)
    with capture_logs() as logs:
        await upstream.clone_voice(VOICE, RECORDING)
        assert await tasks.drain(5)
    assert paths(provider).count("/v1/files/delete") == attempts
    (left_over,) = [log for log in logs if log["event"] == "provider_upload_left_over"]
    assert (left_over["file_id"], left_over["filename"]) == (FILE, f"{VOICE}.wav")


async def test_deleting_a_voice(make: Any, provider: Any) -> None:
    upstream, _ = await make(provider.base_url)
    await upstream.delete_voice(VOICE)
    provider.answers["/v1/delete_voice"] = {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}
    assert (await failure(upstream.delete_voice(VOICE))).code == 1004
    assert provider.json_of("/v1/delete_voice")[0] == {"voice_type": "voice_cloning", "voice_id": VOICE}


async def test_no_endpoint_is_served_to_clients(make: Any, provider: Any, wire: Any) -> None:
    upstream, _ = await make(provider.base_url)
    with pytest.raises(GatewayError) as caught:
        await upstream.send(wire.flow("POST", "/v1/audio/speech"))
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert provider.calls == []
