"""The contract of `Idempotency-Key`, over real sockets: what is replayed, what is refused, when a key is free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e_kit.clone_form import OTHER_RECORDING, RECORDING, Form, part
from e2e_kit.fleet import CLONE_CALL, CREDIT, PRICE, MakeFleet, fleets, is_replay, told, verdict
from e2e_kit.processes import run
from e2e_kit.world import CLONE_PATH
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.simulators.minimax import Fault
from kyma_proxy.testing.audio import silent_mp3, silent_wav

MODEL, OTHER_MODEL = "minimax-voice-clone", "minimax-voice-clone-hd"
TWO_MODELS = f"models: [{MODEL}, {OTHER_MODEL}]"
NAMED = Form(name="Ada's own \u2013 caf\u00e9")
IN_TWO_PROCESSES = {"applications": 1, "processes": 1}
REUSED = (422, "idempotency_key_reused", "false")


@pytest.fixture
async def make_fleet(database: Database, database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[MakeFleet]:
    async with fleets(database, database_target, tmp_path) as make:
        yield make


# What a replay says.


async def test_a_replay_is_the_first_reply_byte_for_byte_in_every_process(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(**IN_TWO_PROCESSES)
    first = await fleet.clone(NAMED, key="k" * 255)
    assert (first.status, is_replay(first), first.headers["x-should-retry"]) == (200, False, "false")
    assert (await fleet.clone(NAMED)).fields["balance_usd"] == 20.8

    for at in range(4):
        again = await fleet.clone(NAMED, at=at, key="k" * 255)
        assert is_replay(again)
        assert told(again) == told(first)
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    shown = {name: first.headers[f"X-Kyma-{name}"] for name in ("Model", "Cost-USD", "Balance-USD")}
    assert shown == {"Model": MODEL, "Cost-USD": "2.10", "Balance-USD": "22.90"}
    assert f"X-Kyma-Balance-USD: {shown['Balance-USD']}".encode() in await fleet.raw(NAMED, b"k" * 255)
    await fleet.require_books(voices=2)


async def test_any_visible_ascii_is_a_key(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet()
    keys = ["!", "~", '"quoted"', "a,b;c=d", "8e03978e-40d5-43dd-bc93-6894a57f9324", "k" * 255]
    for key in keys:
        first, again = [await fleet.clone(key=key) for _ in range(2)]
        assert (first.status, is_replay(first), is_replay(again)) == (200, False, True), key
        assert told(again) == told(first)
    await fleet.require_books(voices=len(keys))


async def test_a_key_counts_for_its_own_spelling_and_account_only(make_fleet: MakeFleet, database: Database) -> None:
    fleet = await make_fleet()
    eve = await database.transact(lambda connection: open_account(connection, "Eve", CREDIT, "test"))
    answers = [await fleet.clone(key=key) for key in ("key", "KEY", "key-")]
    answers.append(await fleet.clone(key="key", api_key=eve.api_key))
    assert [(answer.status, is_replay(answer)) for answer in answers] == [(200, False)] * 4
    assert len({answer.fields["voice_id"] for answer in answers}) == 4

    for api_key, first in ((None, answers[0]), (eve.api_key, answers[3])):
        assert told(await fleet.clone(key="key", api_key=api_key)) == told(first)
    # Another content under the other account's key is nothing to this one.
    assert verdict(await fleet.clone(NAMED, key="key", api_key=eve.api_key)) == REUSED
    assert (await fleet.clone(NAMED, key="KEY-", api_key=eve.api_key)).status == 200


# What is the same content, and what is not.


def unlike(content: Form) -> Form:
    """The same content, written as differently as the form allows."""
    return Form(
        recording=content.recording,
        name=content.name,
        model=content.model or MODEL,
        filename='me & "friends".exe'.replace('"', "%22"),
        file_type="text/html; charset=utf-16",
        file_first=True,
        before=(part("language", b"de"), part("files", b"no", "voice.mp3", "audio/mpeg")),
        after=(part("Name", b"other"), part("idempotency_key", b"other"), part("", b"")),
        boundary="'another+boundary,(of)/70:chars=?' but much longer than the other one",
    )


SAME = {
    "another boundary": (NAMED, Form(name=NAMED.name, boundary="x")),
    "another file name": (NAMED, Form(name=NAMED.name, filename="lies.mp3")),
    "no file name, no type": (NAMED, Form(name=NAMED.name, filename=None, file_type=None)),
    "another content type": (NAMED, Form(name=NAMED.name, file_type="image/png")),
    "another order": (NAMED, Form(name=NAMED.name, file_first=True)),
    "extra fields": (NAMED, Form(name=NAMED.name, before=(part("language", b"en"),), after=(part("x", b"", "y"),))),
    "the default model by its name": (NAMED, Form(name=NAMED.name, model=MODEL)),
    "an empty model": (NAMED, Form(name=NAMED.name, model="")),
    "an empty name": (Form(), Form(name="")),
    "a blank name": (Form(), Form(name=" \t\u3000")),
    "all of it": (NAMED, unlike(NAMED)),
}
OTHER = {
    "another recording": Form(OTHER_RECORDING, name=NAMED.name),
    "a byte more of it": Form(RECORDING + b"\0", name=NAMED.name),
    "another format": Form(silent_mp3(10), name=NAMED.name),
    "another name": Form(name="Eve"),
    "another case of it": Form(name=str(NAMED.name).upper()),
    "a space around it": Form(name=f" {NAMED.name}"),
    "another spelling of its accent": Form(name="Ada's own \u2013 cafe\u0301"),
    "no name": Form(),
    "another model": Form(name=NAMED.name, model=OTHER_MODEL),
    "name and model exchanged": Form(name=MODEL),
}


@pytest.mark.parametrize("keyed", [True, False])
async def test_the_same_content_is_the_same_however_it_is_written(make_fleet: MakeFleet, keyed: bool) -> None:
    fleet = await make_fleet(clone=TWO_MODELS, credit_micros=100 * PRICE)
    for number, (kind, (content, likewise)) in enumerate(SAME.items()):
        key = f"same-{number}" if keyed else None
        first = await fleet.clone(content, key=key)
        again = await fleet.clone(likewise, key=key, retry=None if keyed else 1)
        assert (first.status, is_replay(first), is_replay(again)) == (200, False, True), kind
        assert told(again) == told(first), kind
    await fleet.require_books(voices=len(SAME), credit_micros=100 * PRICE)


async def test_other_content_under_the_same_key_is_422(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(clone=TWO_MODELS)
    first = await fleet.clone(NAMED, key="reused")
    for kind, content in OTHER.items():
        assert verdict(await fleet.clone(content, key="reused")) == REUSED, kind
        assert verdict(await fleet.clone(content, key="reused", retry=1)) == REUSED, kind
    assert told(await fleet.clone(NAMED, key="reused")) == told(first)
    await fleet.require_books(voices=1)


async def test_a_marked_retry_of_other_content_is_another_request(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(clone=TWO_MODELS, credit_micros=100 * PRICE)
    assert (await fleet.clone(NAMED)).status == 200
    for kind, content in OTHER.items():
        answer = await fleet.clone(content, retry=1)
        assert (answer.status, is_replay(answer)) == (200, False), kind
    await fleet.require_books(voices=1 + len(OTHER), credit_micros=100 * PRICE)


@pytest.mark.parametrize(
    "target", [f"{CLONE_PATH}/", "/v1//audio/voice-clone", "/v1/audio/voice%2Dclone", f"{CLONE_PATH};x=1?y=2"]
)
async def test_a_key_belongs_to_the_endpoint_however_its_path_is_spelt(make_fleet: MakeFleet, target: str) -> None:
    fleet = await make_fleet()
    first = await fleet.clone(key="spelt")
    assert first.body in await fleet.raw(Form(), b"spelt", target=target)
    await fleet.require_books(voices=1)


# Keys that are none.


BAD_KEYS = {
    "empty": [b""],
    "blank": [b"   "],
    "too long": [b"k" * 256],
    "much too long": [b"k" * 5000],
    "a space inside": [b"a b"],
    "a tab inside": [b"a\tb"],
    "a control character": [b"a\x01b"],
    "a delete": [b"a\x7f"],
    "a zero": [b"a\0b"],
    "an escape": [b"\x1b[31m"],
    "UTF-8": ["caf\u00e9".encode()],
    "Latin-1": ["caf\u00e9".encode("latin-1")],
    "no text at all": [b"\xff\xfe"],
    "two": [b"one", b"two"],
    "the same twice": [b"one", b"one"],
    "an empty one and a good one": [b"", b"one"],
}


async def test_a_bad_key_is_400_before_the_balance_matters_and_costs_nothing(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(credit_micros=0)
    for kind, keys in BAD_KEYS.items():
        answer = await fleet.raw(Form(), *keys)
        assert answer.startswith(b"HTTP/1.1 400 "), (kind, answer[:200])
        assert b'"code":"invalid_request"' in answer, kind
        assert b"x-should-retry: false\r\n" in answer, kind
    assert not fleet.minimax.calls
    assert await fleet.database.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert b" 402 " in await fleet.raw(Form(), b"good")
    await fleet.require_books(voices=0, credit_micros=0)


async def test_a_key_counts_for_a_body_in_chunks_and_with_space_around_it(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet()
    first = await fleet.clone(key="chunks")
    assert first.body in await fleet.raw(Form(), b" \t chunks \t ", chunked=True)
    await fleet.require_books(voices=1)


# When a key is free again, and what a replay needs.

TOO_SHORT = silent_wav(9, rate_hz=1000, bits=8)


@pytest.mark.parametrize("at", [0, 1])
async def test_a_failed_attempt_frees_its_key_for_any_content(make_fleet: MakeFleet, at: int) -> None:
    fleet = await make_fleet(**IN_TWO_PROCESSES)
    attempts = {
        (502, "provider_error"): Form(),
        (415, "invalid_request"): Form(b"This is text. " * 100),
        (400, "reference_too_short"): Form(TOO_SHORT),
        (400, "not_a_voice_clone_model"): Form(model="other"),
        (400, "invalid_request"): Form(None, name="no file"),
    }
    fleet.minimax.inject(Fault(path=CLONE_CALL, error_code=1000))
    for (status, code), form in attempts.items():
        refused = await fleet.clone(form, key="freed", at=at)
        assert (refused.status, refused.code) == (status, code)
    answer = await fleet.clone(NAMED, key="freed", at=at + 1)
    assert (answer.status, is_replay(answer)) == (200, False)
    await fleet.require_books(voices=1)


async def test_a_402_frees_its_key(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(credit_micros=PRICE - 1)
    assert verdict(await fleet.clone(key="poor")) == (402, "insufficient_credits", "false")
    ran = await run("accounts", "credit", fleet.account.account_id, "0.000001", environ=fleet.environ)
    assert ran.code == 0, ran.err
    answer = await fleet.clone(NAMED, key="poor")
    assert (answer.status, is_replay(answer)) == (200, False)
    await fleet.require_books(voices=1, credit_micros=PRICE)


async def test_a_replay_needs_no_balance_and_is_judged_first(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(credit_micros=PRICE)
    first = await fleet.clone(key="last")
    assert first.fields["balance_usd"] == 0
    for mark in ({"key": "last"}, {"retry": 1}, {"key": "last", "retry": 2}):
        assert told(await fleet.clone(**mark)) == told(first)
        for form, refusal in (
            (Form(b"This is text. " * 100), (415, "invalid_request", "false")),
            (Form(TOO_SHORT), (400, "reference_too_short", "false")),
            (Form(model="other"), (400, "not_a_voice_clone_model", "false")),
            (Form(None), (400, "invalid_request", "false")),
        ):
            assert verdict(await fleet.clone(form, **mark)) == refusal
    # Other content under the key is found out before the balance, a new request is not spared it.
    assert verdict(await fleet.clone(NAMED, key="last")) == REUSED
    for mark in ({}, {"key": "new"}, {"retry": 0}):
        assert verdict(await fleet.clone(**mark)) == (402, "insufficient_credits", "false")
    assert verdict(await fleet.clone(NAMED, retry=1)) == (402, "insufficient_credits", "false")
    await fleet.require_books(voices=1, credit_micros=PRICE)


async def test_without_the_account_s_key_there_is_no_replay(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet()
    assert (await fleet.clone(key="mine")).status == 200
    assert verdict(await fleet.clone(key="mine", api_key="ky-unknown")) == (401, "auth_error", "false")
    await fleet.require_books(voices=1)
