"""`POST /v1/audio/voice-clone`: every row of its table, over real sockets."""

from __future__ import annotations

import asyncio
import io
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kyma_proxy.simulators.minimax import Fault
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.testing.audio import silent_m4a, silent_mp3, silent_wav

FIXTURES = Path(__file__).parent.parent / "fixtures"
CLONE_PATH = "/v1/audio/voice-clone"
CAP_BYTES = 10 * 1024 * 1024
UPLOAD, CLONE, DELETE = "/v1/files/upload", "/v1/voice_clone", "/v1/delete_voice"


def paths(world: Any) -> list[str]:
    return [call.path for call in world.minimax.calls]


async def test_a_recording_becomes_a_voice_that_is_owned_and_paid_for(world: Any) -> None:
    answer = await world.clone(sample_recording(), fields={"name": "brand-narrator"})
    assert answer.status == 200
    fields = answer.fields
    assert re.fullmatch(r"kyma_[0-9a-f]{16}", fields["voice_id"])
    assert fields == {
        "voice_id": fields["voice_id"],
        "name": "brand-narrator",
        "model": "minimax-voice-clone",
        "cost_usd": 2.1,
        "balance_usd": 22.9,
    }
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Kyma-Model"] == "minimax-voice-clone"
    assert (answer.headers["X-Kyma-Cost-USD"], answer.headers["X-Kyma-Balance-USD"]) == ("2.10", "22.90")
    assert answer.headers["X-Request-Id"]
    await world.require_exact_books()
    (voice,) = await world.voices()
    assert (voice.voice_id, voice.account_id, voice.name, voice.status) == (
        fields["voice_id"],
        world.account_id,
        "brand-narrator",
        "active",
    )
    assert fields["voice_id"] in world.minimax.voices
    assert (await world.account()).balance_micros == 22_900_000


async def test_the_provider_gets_the_bytes_under_a_name_of_the_judged_format_and_loses_the_file_again(
    world: Any,
) -> None:
    recording = silent_wav(12)
    answer = await world.clone(recording, filename="lies.mp3")
    assert answer.status == 200
    await world.require_exact_books()
    upload = world.minimax.calls[0]
    assert (upload.path, upload.filename) == (UPLOAD, f"{answer.fields['voice_id']}.wav")
    assert upload.upload == recording
    assert paths(world) == [UPLOAD, CLONE, "/v1/files/delete"]
    assert not world.minimax.files


@pytest.mark.parametrize("make", [silent_wav, silent_mp3, silent_m4a])
@pytest.mark.parametrize("seconds", [10, 300])
async def test_the_limits_of_duration_are_accepted_themselves(world: Any, make: Any, seconds: int) -> None:
    answer = await world.clone(make(seconds))
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("make", [silent_wav, silent_mp3, silent_m4a])
@pytest.mark.parametrize(
    ("seconds", "code"), [(Fraction(9999, 1000), "reference_too_short"), (Fraction(300001, 1000), "reference_too_long")]
)
async def test_a_millisecond_beyond_a_limit_is_refused(world: Any, make: Any, seconds: Any, code: str) -> None:
    answer = await world.clone(make(seconds))
    assert (answer.status, answer.code) == (400, code)
    assert not world.minimax.calls
    await world.require_untouched()


@pytest.mark.parametrize("name", ["speech-12s.m4a", "speech-12s.mp3", "speech-12s-fragmented.m4a"])
@pytest.mark.parametrize("filename", ["voice.exe", "voice.ogg", ""])
async def test_real_recordings_are_judged_from_their_bytes_whatever_they_are_called(
    world: Any, name: str, filename: str
) -> None:
    answer = await world.clone((FIXTURES / name).read_bytes(), filename=filename or "x")
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "recording",
    [
        pytest.param((FIXTURES / "tone-12s.ogg").read_bytes(), id="ogg"),
        pytest.param((FIXTURES / "tone-12s.flac").read_bytes(), id="flac"),
        pytest.param(b"Dear gateway, this is text. " * 2000, id="text"),
        pytest.param(b"PK\x03\x04" + bytes(50_000), id="zip"),
        pytest.param(bytes(range(256)) * 400, id="noise"),
        pytest.param(b"x", id="one byte"),
    ],
)
async def test_other_formats_are_415(world: Any, recording: bytes) -> None:
    answer = await world.clone(recording, filename="voice.mp3")
    assert (answer.status, answer.code) == (415, "invalid_request")
    assert not world.minimax.calls
    await world.require_untouched()


@pytest.mark.parametrize(
    "recording",
    [
        pytest.param(b"RIFF\xff\xff\xff\xffWAVE", id="wav without anything"),
        pytest.param(silent_m4a(12, index_last=True)[:2000], id="m4a cut before its index"),
    ],
)
async def test_a_recognised_recording_without_a_duration_is_unreadable(world: Any, recording: bytes) -> None:
    answer = await world.clone(recording)
    assert (answer.status, answer.code) == (400, "audio_unreadable")
    await world.require_untouched()


async def test_a_header_that_promises_more_than_the_file_holds_is_not_believed(world: Any) -> None:
    answer = await world.clone(silent_wav(20)[: 44 + 5 * 16_000])
    assert (answer.status, answer.code) == (400, "reference_too_short")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer ky-unknown"},
        {"Authorization": "Basic a3k6"},
        {"Authorization": "Bearer caf\u00e9"},
    ],
)
async def test_without_a_good_key_it_is_401(world: Any, headers: dict[str, str]) -> None:
    answer = await world.clone(sample_recording(), headers=headers)
    assert (answer.status, answer.code) == (401, "auth_error")
    assert (answer.headers["x-should-retry"], answer.headers["Content-Type"]) == ("false", "application/json")
    await world.require_untouched()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"file": "x"}'),
        ("text/plain", b"x"),
        ("application/x-www-form-urlencoded", b"file=x"),
        ("multipart/form-data", b"--b\r\n\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'),
        ("multipart/form-data; boundary=b", b"--c\r\n\r\n--c--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx'),
        ("multipart/form-data; boundary=b", b""),
    ],
)
async def test_what_is_not_a_whole_form_is_400(world: Any, content_type: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {world.api_key}", "Content-Type": content_type}
    answer = await world.request("POST", CLONE_PATH, data=body, headers=headers)
    assert (answer.status, answer.code) == (400, "invalid_request")
    await world.require_untouched()


async def test_a_missing_file_an_empty_one_and_two_are_400(world: Any) -> None:
    two = aiohttp.FormData()
    for _ in range(2):
        two.add_field("file", sample_recording(), filename="a.mp3")
    headers = {"Authorization": f"Bearer {world.api_key}"}
    for answer in (
        await world.clone(None, fields={"name": "x"}),
        await world.clone(b""),
        await world.request("POST", CLONE_PATH, data=two, headers=headers),
    ):
        assert (answer.status, answer.code) == (400, "invalid_request")
    await world.require_untouched()


@pytest.mark.parametrize(
    ("name", "stored"), [("x" * 64, "x" * 64), ("\U0001f600" * 64, "\U0001f600" * 64), ("  ", None), ("", None)]
)
async def test_names_are_echoed_and_blank_ones_are_null(world: Any, name: str, stored: str | None) -> None:
    answer = await world.clone(sample_recording(), fields={"name": name})
    assert answer.status == 200
    assert answer.fields["name"] == stored
    assert (await world.voices())[0].name == stored


async def test_a_name_of_65_code_points_is_400(world: Any) -> None:
    answer = await world.clone(sample_recording(), fields={"name": "x" * 65})
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_another_model_is_refused_before_the_format_is_looked_at(world: Any) -> None:
    answer = await world.clone(b"not audio", fields={"model": "minimax-speech-hd"})
    assert (answer.status, answer.code) == (400, "not_a_voice_clone_model")
    await world.require_untouched()


async def test_the_model_may_be_named_and_unknown_fields_are_ignored(world: Any) -> None:
    answer = await world.clone(sample_recording(), fields={"model": "minimax-voice-clone", "language": "en"})
    assert answer.status == 200


async def test_a_file_of_exactly_the_cap_is_judged_and_a_byte_more_is_413(world: Any) -> None:
    head = silent_wav(20)[:44]
    exact = await world.clone(head + bytes(CAP_BYTES - 44))
    assert exact.status in (200, 400), "10 MiB of PCM: its duration decides"
    assert exact.status == 200 or exact.code == "reference_too_short" or exact.code == "reference_too_long"
    over = await world.clone(head + bytes(CAP_BYTES - 43))
    assert (over.status, over.code) == (413, "invalid_request")


async def test_a_chunked_body_is_counted(world: Any) -> None:
    async def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(200):
            yield bytes(64 * 1024)
            await asyncio.sleep(0)

    headers = {
        "Authorization": f"Bearer {world.api_key}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    answer = await world.request("POST", CLONE_PATH, data=endless(), headers=headers)
    assert (answer.status, answer.code) == (413, "invalid_request")
    await world.require_untouched()


async def test_a_balance_below_the_price_is_402_and_calls_nobody(make_world: Any) -> None:
    world = await make_world(credit_micros=2_099_999)
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code) == (402, "insufficient_credits")
    assert answer.headers["x-should-retry"] == "false"
    assert not world.minimax.calls
    assert not await world.voices()
    await world.require_untouched(2_099_999)


async def test_exactly_the_price_buys_one_voice(make_world: Any) -> None:
    world = await make_world(credit_micros=2_100_000)
    answers = await asyncio.gather(*(world.clone(sample_recording()) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200, 402, 402, 402, 402, 402]
    await world.require_exact_books()
    assert (await world.account()).balance_micros == 0
    assert len(world.minimax.voices) == 1


@pytest.mark.parametrize(
    ("fault", "should_retry"),
    [
        (Fault(path=UPLOAD, error_code=1002), "true"),
        (Fault(path=UPLOAD, error_code=1004), "false"),
        (Fault(path=CLONE, error_code=1000), "false"),
        (Fault(path=CLONE, error_code=1008), "false"),
        (Fault(path=CLONE, error_code=1026), "false"),
        (Fault(path=CLONE, error_code=1039), "true"),
        (Fault(path=CLONE, error_code=1041), "true"),
        (Fault(path=CLONE, error_code=2013), "false"),
        (Fault(path=CLONE, error_code=2037), "false"),
        (Fault(path=CLONE, error_code=2038), "false"),
        (Fault(path=CLONE, error_code=2039), "false"),
        (Fault(path=CLONE, error_code=2045), "true"),
        (Fault(path=CLONE, error_code=2056), "false"),
        (Fault(path=CLONE, http_status=502), "false"),
        (Fault(path=UPLOAD, http_status=502), "false"),
        (Fault(path=UPLOAD, drop_fields=("file.file_id",)), "false"),
        (Fault(path=CLONE, drop_fields=("base_resp",)), "false"),
    ],
)
async def test_any_failure_of_the_provider_is_502_and_costs_nothing(
    world: Any, fault: Fault, should_retry: str
) -> None:
    world.minimax.inject(fault)
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code) == (502, "provider_error")
    assert answer.headers["x-should-retry"] == should_retry
    account = await world.account()
    assert (account.balance_micros, account.held_micros) == (25_000_000, 0), "whole when the answer arrives"
    await world.require_untouched()
    assert not world.minimax.voices, "a voice that was made after all is deleted"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_id(world: Any, moment: Any) -> None:
    world.minimax.inject(Fault(path=CLONE, reset=True, moment=moment))
    answer = await world.clone(sample_recording())
    assert answer.status == 200
    asked = [call.json for call in world.minimax.calls if call.path == CLONE]
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert set(world.minimax.voices) == {answer.fields["voice_id"]}
    assert (await world.account()).balance_micros == 22_900_000
    await world.require_exact_books()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_outcome_that_stays_unknown_is_502_deleted_and_not_charged(world: Any, moment: Any) -> None:
    world.minimax.inject(Fault(path=CLONE, reset=True, moment=moment))
    world.minimax.inject(Fault(path=CLONE, error_code=1000))
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (502, "provider_error", "false")
    await world.require_untouched()
    assert not world.minimax.voices, "a voice that was made after all is deleted"


async def test_a_clone_that_takes_too_long_is_502(make_world: Any) -> None:
    world = await make_world(minimax_extra="clone_timeout_seconds: 0.3")
    for _ in range(2):
        world.minimax.inject(Fault(path=CLONE, stall_seconds=5))
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (502, "provider_error", "false")
    await world.require_untouched()


async def test_a_provider_that_refuses_connections_is_502_and_worth_a_retry(world: Any) -> None:
    await world.minimax.stop()
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (502, "provider_error", "true")
    await world.require_untouched()


async def test_an_owner_that_cannot_be_written_is_500_and_not_charged(world: Any) -> None:
    await world.application.database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$"
    )
    await world.application.database.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON mints FOR EACH ROW"
        " WHEN (NEW.completed_at IS NOT NULL) EXECUTE FUNCTION refuse()"
    )
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code) == (500, "ownership_write_failed")
    assert answer.headers["x-should-retry"] == "true"
    await world.require_untouched()
    assert not world.minimax.voices
    assert paths(world).count(DELETE) == 1


async def test_one_upload_more_than_allowed_is_503(make_world: Any) -> None:
    world = await make_world(clone="max_uploads_in_flight: 1")
    started, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield b"--b\r\n"
        started.set()
        await release.wait()
        yield b"--b--\r\n"

    headers = {"Authorization": f"Bearer {world.api_key}", "Content-Type": "multipart/form-data; boundary=b"}
    first = asyncio.get_running_loop().create_task(world.request("POST", CLONE_PATH, data=slow(), headers=headers))
    await started.wait()
    await asyncio.sleep(0.1)
    second = await world.clone(sample_recording())
    assert (second.status, second.code, second.headers["Retry-After"]) == (503, "unavailable", "1")
    assert second.headers["x-should-retry"] == "true"
    release.set()
    assert (await first).status == 400
    assert (await world.clone(sample_recording())).status == 200


async def test_a_client_that_leaves_after_the_hold_gets_its_voice_made_and_charged(world: Any) -> None:
    world.minimax.behaviour = world.minimax.behaviour.model_copy(update={"clone_seconds": 0.3})
    task = asyncio.get_running_loop().create_task(world.clone(sample_recording()))
    await world.minimax.wait_for_call(CLONE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.5)
    await world.require_exact_books()
    assert [voice.status for voice in await world.voices()] == ["active"]
    assert (await world.account()).balance_micros == 22_900_000


async def test_the_reply_that_was_sent_is_the_reply_on_file(world: Any) -> None:
    answer = await world.clone(sample_recording())
    stored = await world.application.database.fetchval("SELECT reply_body FROM mints")
    assert stored == answer.body
    assert json.loads(stored)["balance_usd"] == 22.9


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_other_methods_are_405(world: Any, method: str) -> None:
    answer = await world.request(method, CLONE_PATH)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert not world.origin.calls


async def test_two_transactions_are_all_that_a_clone_adds(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.clone(sample_recording())
    database = world.application.database
    acquire, used = database._acquire, []

    async def counted() -> Any:
        # Every use of the database begins here.
        used.append(True)
        return await acquire()

    monkeypatch.setattr(database, "_acquire", counted)
    assert (await world.clone(sample_recording())).status == 200
    await world.application.tasks.drain(5)
    assert len(used) == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "no-such"}, "not_a_voice_clone_model"),
        ({"name": "x" * 65}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
async def test_what_came_before_an_oversize_file_is_refused_before_its_size(
    world: Any, fields: dict[str, str], code: str
) -> None:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = "".join([*parts, head]).encode() + bytes(CAP_BYTES + 10) + b"\r\n--b--\r\n"
    headers = {"Authorization": f"Bearer {world.api_key}", "Content-Type": "multipart/form-data; boundary=b"}
    answer = await world.request("POST", CLONE_PATH, data=io.BytesIO(body), headers=headers)
    assert (answer.status, answer.code) == (400 if fields else 413, code)
