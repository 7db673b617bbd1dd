"""No byte of a request with another's voice reaches an upstream, however it is written; honest requests do."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from typing import Any

import pytest

from e2e_kit.bypasses import Attempt, attempts
from e2e_kit.speech_wire import AT_MINIMAX, FORWARDED, JSON, Names, body_of, post
from e2e_kit.world import SPEECH_PATH
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.voices import registry
from kyma_proxy.voices.ownership import MINTED_PREFIX
from kyma_proxy.voices.registry import NewVoice, VoiceHome
from kyma_voice_ownership.config import VoiceOwnershipConfig

AT_ONCE = 8
ORIGIN = VoiceHome("minimax", "default")


async def exchange(world: Any, wire: bytes) -> bytes:
    """Send bytes as they are and then nothing more; what comes back until the gateway ends the connection.

    Nothing, if it waits for more for three seconds.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", world.application.data.port)
    try:
        writer.write(wire)
        async with asyncio.timeout(3):
            sending = asyncio.gather(writer.drain(), return_exceptions=True)
            answer = await reader.read()
            await sending
            return answer
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"(?m)^HTTP/1\.[01] (\d{3}) ", answer)]


@pytest.fixture
async def names(world: Any) -> Names:
    database = world.application.database
    bob = (await database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))).account_id
    own = (await world.clone(sample_recording())).fields["voice_id"]
    owners = {"kyma_00000000000000bb": bob, "Narrator (deep)": bob, "12345678": bob, "revoked-voice": world.account_id}
    pending = NewVoice("kyma_00000000000000dd", world.account_id, None, "clone", ORIGIN)

    async def write(connection: Any) -> None:
        for voice_id, account_id in owners.items():
            await registry.adopt(connection, voice_id, account_id, None, ORIGIN)
        await registry.revoke(connection, "revoked-voice")
        await registry.add_pending(connection, pending)

    await database.transact(write)
    minted, adopted, _, revoked = owners
    return Names(world.api_key, own, minted, adopted, revoked, pending.voice_id)


async def test_nothing_of_the_corpus_comes_through(world: Any, names: Names) -> None:
    corpus = list(attempts(names))
    assert len({each.wire for each in corpus}) >= 150
    assert len({each.name for each in corpus}) == len(corpus)
    at_minimax = len(world.minimax.calls)
    answered_otherwise: list[str] = []

    async def attempt(each: Attempt) -> None:
        found = statuses(await exchange(world, each.wire))
        if found != ([] if each.status is None else [each.status]):
            answered_otherwise.append(f"{each.name}: {found}, not {each.status}")

    for first in range(0, len(corpus), AT_ONCE):
        batch = corpus[first : first + AT_ONCE]
        await asyncio.gather(*map(attempt, batch))
        reached = [f"{call.method} {call.path}" for call in (*world.minimax.calls[at_minimax:], *world.origin.calls)]
        assert not reached, [each.name for each in batch]
    assert not answered_otherwise
    assert [each.name for each in corpus if each.status is None] == ["framing: a body cut short"]


async def test_every_refusal_of_a_voice_is_the_same_bytes(world: Any, names: Names) -> None:
    answers = set()
    for voice in (names.minted, names.adopted, names.revoked, names.pending):
        answer = await exchange(world, post(names, body_of(voice=voice), JSON, "X-Request-Id: same"))
        answers.add(re.sub(rb"(?im)^date: .*\r\n", b"", answer))
    assert len(answers) == 1
    assert statuses(answers.pop()) == [403]


@pytest.mark.parametrize("own_voice", [True, False])
async def test_honest_speech_reaches_the_origin_byte_for_byte(world: Any, names: Names, own_voice: bool) -> None:
    voice = names.own if own_voice else "English_Graceful_Lady"
    plain = b" " + body_of(model=FORWARDED, voice=voice, input=f"Say {names.minted}.", unknown={"x": [1.0, None]})
    packed = gzip.compress(plain)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(plain), plain)
    for wire, sent in (
        (post(names, plain, JSON), plain),
        (post(names, plain, "Content-Type: text/plain;charset=UTF-8", "Expect: 100-continue"), plain),
        (post(names, packed, JSON, "Content-Encoding: gzip"), packed),
        (post(names, chunked, JSON, "Transfer-Encoding: chunked").replace(b"Content-Length: ", b"X-Length: "), plain),
        (post(names, plain, JSON, target=f"{SPEECH_PATH}?voice={voice}&a=%41"), plain),
    ):
        before = len(world.origin.calls)
        answer = await exchange(world, wire)
        assert len(world.origin.calls) == before + 1, answer
        assert world.origin.calls[-1].body_sha256 == hashlib.sha256(sent).hexdigest()
        assert b"403" not in answer.split(b"\r\n")[0]
    assert len(world.minimax.calls) == len([call for call in world.minimax.calls if call.path != "/v1/t2a_v2"])


@pytest.mark.parametrize("own_voice", [True, False])
async def test_honest_speech_reaches_minimax(world: Any, names: Names, own_voice: bool) -> None:
    voice = names.own if own_voice else "English_Graceful_Lady"
    wire = post(names, body_of(model=AT_MINIMAX, voice=voice, metadata={"voice_setting": {"voice_id": "x"}}), JSON)
    answer = await exchange(world, wire)
    assert statuses(answer) == [200], answer
    (call,) = [call for call in world.minimax.calls if call.path == "/v1/t2a_v2"]
    assert call.json is not None
    assert call.json["voice_setting"]["voice_id"] == voice
    assert "metadata" not in call.json
    assert not world.origin.calls


async def test_a_revoked_voice_is_refused_within_two_seconds(world: Any, names: Names) -> None:
    wire = post(names, body_of(voice=names.own), JSON)
    assert 403 not in statuses(await exchange(world, wire))
    database = world.application.database
    await database.transact(lambda connection: registry.revoke(connection, names.own))
    async with asyncio.timeout(2):
        while 403 not in statuses(await exchange(world, wire)):
            await asyncio.sleep(0.02)


async def test_a_database_that_is_away_lets_nothing_through(world: Any, names: Names) -> None:
    assert 503 not in statuses(await exchange(world, post(names, body_of(voice=names.own), JSON)))
    reached = len(world.origin.calls)
    await world.application.database.stop()
    answer = await exchange(world, post(names, body_of(voice="never-seen-before"), JSON))
    assert statuses(answer) == [503]
    assert b"x-should-retry: true" in answer.lower()
    assert len(world.origin.calls) == reached


def test_the_guard_knows_how_ids_made_here_begin() -> None:
    assert VoiceOwnershipConfig().reserved_prefix == MINTED_PREFIX


async def test_unlisted_ids_like_ours_can_be_denied(make_world: Any) -> None:
    world = await make_world(ownership="deny_unlisted_prefix: true")
    names = Names(world.api_key, *["x"] * 5)
    assert statuses(await exchange(world, post(names, body_of(voice="kyma_ffffffffffffffff"), JSON))) == [403]
    assert not world.origin.calls
    assert 403 not in statuses(await exchange(world, post(names, body_of(voice="alloy"), JSON)))
    assert len(world.origin.calls) == 1
