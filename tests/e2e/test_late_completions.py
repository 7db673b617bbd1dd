"""The reconciler against completions that come late: a mint is charged or void, never both, as its client is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.clone_form import Form
from e2e_kit.fleet import CLONE_CALL, CREDIT, PRICE, Held, MakeFleet, codes, fleets, is_replay, until
from kyma_proxy.app import Rehearsal
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoint
from kyma_proxy.simulators.minimax import Fault
from kyma_proxy.voices.leases import Leases
from kyma_proxy.voices.reconciler import Reconciler

LEASE_SECONDS = 0.5
RECONCILE_SECONDS = 0.05
NEVER = 3600.0


@pytest.fixture
async def make_fleet(database: Database, database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[MakeFleet]:
    async with fleets(database, database_target, tmp_path) as make:
        yield make


@pytest.fixture
def no_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases run out although their processes live."""

    async def renew(_leases: Leases) -> None:
        return None

    monkeypatch.setattr(Leases, "renew", renew)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many mints each round of any reconciler ended, as the rounds end."""
    ended: list[int] = []
    reconcile = Reconciler.run

    async def run_and_count(reconciler: Reconciler) -> int:
        ended.append(await reconcile(reconciler))
        return ended[-1]

    monkeypatch.setattr(Reconciler, "run", run_and_count)
    return ended


def rehearsals(failpoints: Any, *, own_reconciler: bool) -> dict[str, Any]:
    """One gateway with these failpoints; what it leaves over is ended by itself, or else by another beside it."""
    own = RECONCILE_SECONDS if own_reconciler else NEVER
    mine = Rehearsal(failpoints=failpoints, lease_seconds=LEASE_SECONDS, reconcile_seconds=own)
    other = Rehearsal(lease_seconds=LEASE_SECONDS, reconcile_seconds=RECONCILE_SECONDS)
    both = (mine,) if own_reconciler else (mine, other)
    return {"applications": len(both), "rehearsals": both}


@pytest.mark.usefixtures("no_renewals")
@pytest.mark.parametrize(
    ("point", "own_reconciler"),
    [
        (Failpoint.BEGUN, False),
        (Failpoint.CLONE_ANSWERED, True),
        (Failpoint.COMPLETE, True),
        (Failpoint.COMPLETE, False),
    ],
)
async def test_what_outlives_its_lease_is_not_charged_and_its_voice_is_gone(
    make_fleet: MakeFleet, point: Failpoint, own_reconciler: bool
) -> None:
    late = Held(point)
    fleet = await make_fleet(**rehearsals(late, own_reconciler=own_reconciler))
    clone = asyncio.get_running_loop().create_task(fleet.clone(key="late"))
    await late.reached.wait()

    async def is_voided() -> bool:
        return [mint["hold"] for mint in (await fleet.mints()).values()] == ["voided"]

    await until(is_voided)
    assert await fleet.standing() == (CREDIT, 0), "whole before the mint itself has noticed"
    assert not clone.done()
    late.let_go.set()
    answer = await clone

    assert (answer.status, answer.code) == (500, "ownership_write_failed")
    assert answer.headers["x-should-retry"] == "true"
    await fleet.require_books(voices=0)
    assert fleet.minimax.burned_voice_ids == set(await fleet.mints()), "made after its money was given back"
    retried = await fleet.clone(key="late", retry=1)
    assert (retried.status, is_replay(retried)) == (200, False)
    await fleet.require_books(voices=1)


@pytest.mark.usefixtures("no_renewals")
async def test_a_provider_slower_than_the_lease_is_not_paid(make_fleet: MakeFleet) -> None:
    # Its voice is deleted twice: in vain when the money goes back, and once it has been made.
    fleet = await make_fleet(clone_seconds=2 * LEASE_SECONDS, **rehearsals(NO_FAILPOINTS, own_reconciler=True))
    answer = await fleet.clone()
    assert (answer.status, answer.code) == (500, "ownership_write_failed")
    await fleet.require_books(voices=0)
    assert fleet.minimax.burned_voice_ids == set(await fleet.mints())


@pytest.mark.usefixtures("no_renewals")
@pytest.mark.parametrize(
    ("point", "own_reconciler"), [(Failpoint.COMPLETE_ACTIVATED, True), (Failpoint.COMPLETE_STORED, False)]
)
async def test_what_completes_while_its_lease_runs_out_is_left_alone(
    make_fleet: MakeFleet, rounds: list[int], point: Failpoint, own_reconciler: bool
) -> None:
    late = Held(point)
    fleet = await make_fleet(**rehearsals(late, own_reconciler=own_reconciler))
    clone = asyncio.get_running_loop().create_task(fleet.clone())
    await late.reached.wait()
    # Seen from outside the transaction, it is a mint without a lease.
    await until(lambda: fleet.database.fetchval("SELECT lease_until < clock_timestamp() FROM mints"))
    looked = len(rounds)
    await until(lambda: len(rounds) >= looked + 2)
    late.let_go.set()

    assert (await clone).status == 200
    assert set(rounds) == {0}
    await fleet.require_books(voices=1)


@pytest.mark.usefixtures("no_renewals")
async def test_completions_around_the_end_of_their_leases_are_either_charged_or_voided(make_fleet: MakeFleet) -> None:
    one = Rehearsal(lease_seconds=LEASE_SECONDS, reconcile_seconds=RECONCILE_SECONDS)
    fleet = await make_fleet(applications=2, rehearsals=(one, one), credit_micros=30 * PRICE)
    for number in range(24):
        # Before: the voice is made late, if its recording is still there. After: it is made, and told late.
        moment: Any = ("before", "after")[number % 2]
        stall_seconds = LEASE_SECONDS * (0.4 + number / 24)
        fleet.minimax.inject(Fault(path=CLONE_CALL, moment=moment, stall_seconds=stall_seconds))
    answers = await asyncio.gather(*(fleet.clone(Form(name=str(number)), at=number) for number in range(24)))

    assert set(codes(answers)) <= {"200", "500 ownership_write_failed", "502 provider_error"}
    await fleet.require_books(voices=codes(answers)["200"], credit_micros=30 * PRICE)
    mints = {mint["name"]: mint for mint in (await fleet.mints()).values()}
    for number, answer in enumerate(answers):
        mint = mints[str(number)]
        assert (mint["status"] == "active") == (answer.status == 200)
        assert answer.status != 200 or answer.fields["voice_id"] == mint["voice_id"]
