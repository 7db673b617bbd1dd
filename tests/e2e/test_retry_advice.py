"""`x-should-retry`: every answer of ours carries it, and says what the contract's row says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.clone_form import Form
from e2e_kit.fleet import CLONE_CALL, CREDIT, PRICE, Fleet, MakeFleet, fleets, until
from e2e_kit.world import CLONE_PATH, Answer
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.errors import ErrorCode
from kyma_proxy.simulators.minimax import Fault
from kyma_proxy.simulators.origin.faults import Fault as OriginFault
from kyma_proxy.testing.audio import silent_wav

TEXT = b"This is text. " * 100
SPEECH_CALL, UPLOAD_CALL = "/v1/t2a_v2", "/v1/files/upload"


@pytest.fixture
async def make_fleet(database: Database, database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[MakeFleet]:
    async with fleets(database, database_target, tmp_path) as make:
        yield make


def is_worth_it(code: ErrorCode) -> bool:
    """The contract's row, less what it leaves to the cause of a 502."""
    return code.status in (409, 429, 503) or code is ErrorCode.OWNERSHIP_WRITE_FAILED


def test_the_table_is_the_contract_s() -> None:
    assert {code for code in ErrorCode if code.should_retry} == set(filter(is_worth_it, ErrorCode))


def require(answer: Answer, code: ErrorCode, advice: bool | None = None) -> None:
    """The refusal is this one, whole, with this advice or its row's."""
    error = answer.fields["error"]
    assert (answer.status, error["code"], error["type"]) == (code.status, code.code, code.kind)
    assert set(error) == {"message", "type", "code"}
    require_advice(answer, is_worth_it(code) if advice is None else advice)


def require_advice(answer: Answer, advice: bool) -> None:
    """It stands there once, as it does whether the answer is read by a person or an SDK."""
    assert answer.headers.getall("x-should-retry") == ["true" if advice else "false"]
    assert len(answer.headers.getall("x-request-id")) == 1
    assert answer.headers.getall("Content-Type") == ["application/json"]


async def test_a_voice_and_its_replay_are_final(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet()
    answers = [await fleet.clone(key="one"), await fleet.clone(key="one"), await fleet.clone(retry=1)]
    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        require_advice(answer, False)


async def test_what_is_wrong_with_a_request_is_not_worth_a_retry(make_fleet: MakeFleet, database: Database) -> None:
    fleet = await make_fleet()
    await fleet.clone(key="used")
    poor = await database.transact(lambda connection: open_account(connection, "Eve", PRICE - 1, "test"))
    refusals = [
        (await fleet.clone(api_key="ky-unknown"), ErrorCode.AUTH_ERROR),
        (await fleet.request("POST", CLONE_PATH), ErrorCode.AUTH_ERROR),
        (await fleet.clone(Form(None)), ErrorCode.INVALID_REQUEST),
        (await fleet.clone(Form(name="x" * 65)), ErrorCode.INVALID_REQUEST),
        (await fleet.clone(key="two words"), ErrorCode.INVALID_REQUEST),
        (await fleet.request("POST", CLONE_PATH, headers=fleet.headers(), json={}), ErrorCode.INVALID_REQUEST),
        (await fleet.clone(Form(model="other")), ErrorCode.NOT_A_VOICE_CLONE_MODEL),
        (await fleet.clone(Form(bytes(10 * 1024 * 1024 + 1))), ErrorCode.TOO_LARGE),
        (await fleet.clone(Form(bytes(11 * 1024 * 1024 + 1))), ErrorCode.TOO_LARGE),
        (await fleet.clone(Form(TEXT)), ErrorCode.UNSUPPORTED_FORMAT),
        (await fleet.clone(Form(b"RIFF\xff\xff\xff\xffWAVE")), ErrorCode.AUDIO_UNREADABLE),
        (await fleet.clone(Form(silent_wav(9, rate_hz=1000))), ErrorCode.REFERENCE_TOO_SHORT),
        (await fleet.clone(Form(silent_wav(301, rate_hz=1000))), ErrorCode.REFERENCE_TOO_LONG),
        (await fleet.clone(Form(name="other"), key="used"), ErrorCode.IDEMPOTENCY_KEY_REUSED),
        (await fleet.clone(api_key=poor.api_key), ErrorCode.INSUFFICIENT_CREDITS),
        (await fleet.request("GET", CLONE_PATH), ErrorCode.METHOD_NOT_ALLOWED),
        (await fleet.request("GET", "/v1/chat/completions"), ErrorCode.NOT_FOUND),
        (await fleet.request("GET", "/v1/audio/Voice-Clone"), ErrorCode.INVALID_REQUEST),
    ]
    for answer, code in refusals:
        require(answer, code)
    await fleet.require_books(voices=1)


async def test_what_passes_is_worth_a_retry(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(clone="max_uploads_in_flight: 2")
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    first = loop.create_task(fleet.clone(key="one"))
    await fleet.minimax.wait_for_call(CLONE_CALL)
    require(await fleet.clone(key="one"), ErrorCode.REQUEST_IN_PROGRESS)
    second = loop.create_task(fleet.clone())
    await fleet.minimax.wait_for_call(CLONE_CALL, 2)
    full = await fleet.clone()
    require(full, ErrorCode.UNAVAILABLE)
    assert full.headers["Retry-After"] == "1"
    fleet.gate.open()
    assert [(await each).status for each in (first, second)] == [200, 200]
    await fleet.require_books(voices=2)


THROTTLED = (1002, 1039, 1041, 2045)
REFUSED = (1000, 1004, 1008, 1026, 1042, 2013, 2037, 2038, 2039, 2056)


async def test_a_502_is_worth_a_retry_where_the_provider_was_busy(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet()
    for path in (UPLOAD_CALL, CLONE_CALL):
        for provider_code in THROTTLED + REFUSED:
            fleet.minimax.inject(Fault(path=path, error_code=provider_code))
            require(await fleet.clone(), ErrorCode.PROVIDER_ERROR, provider_code in THROTTLED)
        fleet.minimax.inject(Fault(path=path, http_status=503))
        require(await fleet.clone(), ErrorCode.PROVIDER_ERROR, False)
        fleet.minimax.inject(Fault(path=path, reset=True, times=2))
        require(await fleet.clone(), ErrorCode.PROVIDER_ERROR, False)
        fleet.minimax.state.faults.clear()
    await fleet.require_books(voices=0)


async def test_a_502_is_worth_a_retry_where_nobody_was_reached(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet()
    fleet.origin.inject(OriginFault(reset=True, times=None))
    require(await fleet.request("GET", "/v1/audio/voices"), ErrorCode.UPSTREAM_UNREACHABLE, False)
    await fleet.minimax.stop()
    await fleet.origin.stop()
    require(await fleet.clone(), ErrorCode.PROVIDER_ERROR, True)
    require(await fleet.request("GET", "/v1/audio/voices"), ErrorCode.UPSTREAM_UNREACHABLE, True)
    await fleet.require_books(voices=0)


async def test_a_500_is_worth_a_retry_where_nothing_was_charged_for_a_voice(
    make_fleet: MakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await make_fleet()
    await fleet.database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON mints FOR EACH ROW"
        " WHEN (NEW.completed_at IS NOT NULL) EXECUTE FUNCTION refuse()"
    )
    require(await fleet.clone(), ErrorCode.OWNERSHIP_WRITE_FAILED)

    async def crash(*_arguments: Any, **_more: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("kyma_voice_clone.plugin.receive_form", crash)
    require(await fleet.clone(), ErrorCode.INTERNAL_ERROR)
    await fleet.require_books(voices=0)


async def test_a_database_that_is_away_is_worth_a_retry(relay: Any, database: Database, tmp_path: Path) -> None:
    async with fleets(database, relay.target, tmp_path) as make:
        fleet = await make()
        assert (await fleet.clone()).status == 200
        await relay.stop()
        require(await fleet.clone(), ErrorCode.UNAVAILABLE)
        await relay.start()
        await until(lambda: _is_served(fleet))
        await fleet.require_books(voices=2)


async def _is_served(fleet: Fleet) -> bool:
    return (await fleet.clone()).status == 200


async def test_speech_is_worth_a_retry_where_it_was_only_throttled(make_fleet: MakeFleet, database: Database) -> None:
    fleet = await make_fleet()
    voice_id = (await fleet.clone()).fields["voice_id"]
    eve = await database.transact(lambda connection: open_account(connection, "Eve", CREDIT, "test"))
    theirs = (await fleet.clone(api_key=eve.api_key)).fields["voice_id"]
    require(await fleet.speak(theirs), ErrorCode.VOICE_NOT_OWNED)
    require(await fleet.speak("nobody-1"), ErrorCode.VOICE_NOT_FOUND)
    for provider_code, code in {
        1002: ErrorCode.RATE_LIMITED,
        1001: ErrorCode.UPSTREAM_TIMEOUT,
        1000: ErrorCode.PROVIDER_ERROR,
        1026: ErrorCode.CONTENT_POLICY,
    }.items():
        fleet.minimax.inject(Fault(path=SPEECH_CALL, error_code=provider_code))
        require(await fleet.speak(voice_id), code)


async def test_what_never_became_a_request_is_not_worth_a_retry(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(server="head_timeout_seconds: 0.2")
    unread = {
        b"This is not HTTP\r\n\r\n": 400,
        b"BREW /v1/audio/voice-clone HTTP/1.1\r\nHost: x\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + bytes(9000) + b"\r\n\r\n": 400,
        b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n": 405,
        b"POST /v1/audio/voice-clone HTTP/1.1\r\nHost: x\r\n": 408,
    }
    for wire, status in unread.items():
        reader, writer = await asyncio.open_connection("127.0.0.1", fleet.port())
        writer.write(wire)
        async with asyncio.timeout(10):
            head, _, _body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 %d " % status), (wire[:40], head)
        assert head.count(b"x-should-retry: false") == 1, wire[:40]
