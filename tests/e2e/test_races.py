"""Clients that do the same thing at once, in one gateway process and in two over one database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.clone_form import Form
from e2e_kit.fleet import (
    CLONE_CALL,
    PRICE,
    Fleet,
    MakeFleet,
    codes,
    fleets,
    is_replay,
    told,
    until,
)
from e2e_kit.processes import run
from e2e_kit.world import Answer
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.simulators.minimax import Fault

one_and_two = pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"applications": 1}, id="one process"),
        pytest.param({"applications": 0, "processes": 2}, id="two processes"),
    ],
)


@pytest.fixture
async def make_fleet(database: Database, database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[MakeFleet]:
    async with fleets(database, database_target, tmp_path) as make:
        yield make


# Credit.


@one_and_two
async def test_200_clones_on_credit_for_three_make_three_voices(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(credit_micros=3 * PRICE, **shape)
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    clones = [loop.create_task(fleet.clone(Form(name=str(number)), at=number)) for number in range(200)]
    # None of the three is paid for before all the others were refused: it is the holds that count.
    await until(lambda: sum(clone.done() for clone in clones) >= 197)
    assert await fleet.standing() == (3 * PRICE, 3 * PRICE)
    fleet.gate.open()
    answers = await asyncio.gather(*clones)

    assert codes(answers) == {"200": 3, "402 insufficient_credits": 197}
    bought = [answer for answer in answers if answer.status == 200]
    assert sorted(answer.fields["balance_usd"] for answer in bought) == [0, 2.1, 4.2]
    assert {answer.fields["voice_id"] for answer in bought} == set(fleet.minimax.voices)
    assert sum(call.path == "/v1/files/upload" for call in fleet.minimax.calls) == 3, "a 402 calls nobody"
    await fleet.require_books(voices=3, credit_micros=3 * PRICE)


@one_and_two
async def test_failures_among_them_give_back_what_they_held_and_no_more(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(credit_micros=3 * PRICE, clone_seconds=0.02, **shape)
    fleet.minimax.inject(Fault(path=CLONE_CALL, error_code=1000, times=5))
    answers = await asyncio.gather(*(fleet.clone(at=number) for number in range(60)))

    assert set(codes(answers)) <= {"200", "402 insufficient_credits", "502 provider_error"}
    made = codes(answers)["200"]
    await fleet.require_books(voices=made, credit_micros=3 * PRICE)
    # What the failures gave back can be spent, all of it and not a voice more.
    fleet.minimax.state.faults.clear()
    again = [await fleet.clone(at=number) for number in range(4 - made)]
    assert [answer.status for answer in again] == [200] * (3 - made) + [402]
    await fleet.require_books(voices=3, credit_micros=3 * PRICE)


# Revocations.


class Speakers:
    """Clients that speak with one voice without a pause, some at each gateway, and what each was told, in order."""

    def __init__(self, fleet: Fleet, voice_id: str) -> None:
        self._fleet = fleet
        self._voice_id = voice_id
        self._stopped = False
        self.told: list[list[str]] = [[] for _ in fleet.urls]
        self._tasks = [
            asyncio.get_running_loop().create_task(self._speak(at)) for at in range(len(fleet.urls)) for _ in range(3)
        ]

    async def _speak(self, at: int) -> None:
        while not self._stopped:
            refused_before = any(said != "200" for said in self.told[at])
            answer = await self._fleet.speak(self._voice_id, at)
            (said,) = codes([answer])
            assert not (refused_before and said == "200"), "spoke with what this process had refused before"
            self.told[at].append(said)

    async def until_each(self, enough: Callable[[list[str]], bool], seconds: float = 20) -> None:
        """Wait until every gateway has said enough."""
        ended = [task for task in self._tasks if task.done()]
        assert not ended
        await until(lambda: all(map(enough, self.told)), seconds)

    async def stop(self) -> None:
        """Let them finish their sentences; raises what one of them met."""
        self._stopped = True
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize(("revoked", "refusal"), [("voice", "403 voice_not_owned"), ("key", "401 auth_error")])
async def test_what_is_revoked_while_it_is_used_is_refused_by_both_processes_within_two_seconds(
    make_fleet: MakeFleet, revoked: str, refusal: str
) -> None:
    fleet = await make_fleet(applications=0, processes=2)
    voice_id = (await fleet.clone()).fields["voice_id"]
    if revoked == "voice":
        command = ("voices", "revoke", voice_id)
    else:
        listed = await run("keys", "list", fleet.account.account_id, "--json", environ=fleet.environ)
        command = ("keys", "revoke", listed.fields["keys"][0]["key_id"])
    speakers = Speakers(fleet, voice_id)
    await speakers.until_each(lambda said: len(said) >= 10)

    assert (await run(*command, environ=fleet.environ)).code == 0
    await speakers.until_each(lambda said: refusal in said, seconds=2)
    await speakers.until_each(lambda said: said.count(refusal) >= 20)
    await speakers.stop()
    assert {each for said in speakers.told for each in said} == {"200", refusal}


# The same request from many clients at once.


@one_and_two
async def test_one_key_from_fifty_clients_buys_one_voice(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(**shape)
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    clones = [loop.create_task(fleet.clone(at=number, key="one-and-the-same")) for number in range(50)]
    await until(lambda: sum(clone.done() for clone in clones) >= 49)
    refused = [clone.result() for clone in clones if clone.done()]
    assert codes(refused) == {"409 request_in_progress": 49}
    for answer in refused:
        assert (answer.headers["Retry-After"], answer.headers["x-should-retry"]) == ("5", "true")
    fleet.gate.open()
    (first,) = [answer for answer in await asyncio.gather(*clones) if answer.status == 200]

    assert not is_replay(first)
    again = await asyncio.gather(*(fleet.clone(at=number, key="one-and-the-same") for number in range(49)))
    assert {told(answer) for answer in again} == {told(first)}
    assert all(map(is_replay, again))
    await fleet.require_books(voices=1)


@one_and_two
async def test_fifty_clients_that_insist_on_one_key_all_get_the_same_voice(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(clone_seconds=0.2, **shape)
    met: Counter[str] = Counter()

    async def insist(at: int) -> Answer:
        async with asyncio.timeout(20):
            while True:
                answer = await fleet.clone(at=at, key="insist")
                met.update(codes([answer]))
                if answer.status == 200:
                    return answer
                await asyncio.sleep(0.02)

    answers = await asyncio.gather(*map(insist, range(50)))
    assert set(met) <= {"200", "409 request_in_progress"}
    assert len(set(map(told, answers))) == 1
    assert Counter(map(is_replay, answers)) == {False: 1, True: 49}
    await fleet.require_books(voices=1)


@one_and_two
async def test_one_key_with_fifty_contents_buys_one_voice(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(clone_seconds=0.1, **shape)
    answers = await asyncio.gather(
        *(fleet.clone(Form(name=str(number)), at=number, key="reused") for number in range(50))
    )
    assert codes(answers) == {"200": 1, "422 idempotency_key_reused": 49}
    await fleet.require_books(voices=1)


@one_and_two
async def test_fifty_marked_retries_at_once_buy_one_voice(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(**shape)
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    clones = [loop.create_task(fleet.clone(at=number, retry=1 + number % 3)) for number in range(50)]
    await fleet.somebody_joins()
    fleet.gate.open()
    answers = await asyncio.gather(*clones)

    assert len(set(map(told, answers))) == 1
    assert Counter(map(is_replay, answers)) == {False: 1, True: 49}
    await fleet.require_books(voices=1)


@one_and_two
async def test_marked_retries_of_a_request_that_fails_begin_anew_one_at_a_time(
    make_fleet: MakeFleet, shape: Any
) -> None:
    fleet = await make_fleet(**shape)
    fleet.minimax.inject(Fault(path=CLONE_CALL, error_code=1000, times=3))
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    clones = [loop.create_task(fleet.clone(at=number, retry=1)) for number in range(20)]
    await fleet.minimax.wait_for_call("/v1/files/upload")
    fleet.gate.open()
    answers = await asyncio.gather(*clones)

    assert codes(answers) == {"200": 17, "502 provider_error": 3}
    assert len({told(answer) for answer in answers if answer.status == 200}) == 1
    await fleet.require_books(voices=1)


@one_and_two
async def test_requests_that_nobody_marked_are_never_taken_for_one(make_fleet: MakeFleet, shape: Any) -> None:
    fleet = await make_fleet(credit_micros=20 * PRICE, clone_seconds=0.05, **shape)
    marks = (None, 0)
    answers = await asyncio.gather(*(fleet.clone(at=number, retry=marks[number // 2 % 2]) for number in range(20)))
    assert codes(answers) == {"200": 20}
    assert len({answer.fields["voice_id"] for answer in answers}) == 20
    await fleet.require_books(voices=20, credit_micros=20 * PRICE)
