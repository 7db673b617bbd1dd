"""The schedule explorer: at every step of a mint, everything that can go wrong goes wrong once."""

from __future__ import annotations

import asyncio
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from database_kit import Postgres, Relay
from kyma_proxy.failpoints import Failpoint
from proof_kit.cells import IN_CHILD, Cell, Verdict, Way, cell_world, failures, play_here, play_in_child, printed
from proof_kit.faults import Harm

HARMS = (Harm.EXCEPTION, Harm.HANG, Harm.LOST, Harm.KILLED, Harm.FROZEN)
NAMED_POINTS = (
    *(Failpoint.DESIGN_CALL, Failpoint.DESIGN_ANSWERED, Failpoint.NOTED, Failpoint.COMPLETE),
    *(Failpoint.COMPLETE_COMMITTED, Failpoint.UNDO, Failpoint.UNDO_COMMITTED),
)
"""Where it matters that the provider names a voice itself."""
CELLS = [
    *(Cell(point, harm) for point in Failpoint if point in Way.CLONE.passes for harm in HARMS),
    *(
        Cell(point, harm, Way.DESIGN)
        for point in Failpoint
        if point in Way.DESIGN.passes
        for harm in (Harm.LOST, Harm.KILLED)
    ),
    *(Cell(point, harm, Way.DESIGN_NAMED) for point in NAMED_POINTS for harm in HARMS),
]
AT_ONCE = 5


async def _play(postgres: Postgres, cell: Cell) -> Verdict:
    target = await postgres.create_database()
    try:
        with tempfile.TemporaryDirectory(prefix="kyma-proof-") as name:
            folder = Path(name)
            async with cell_world(folder, target) as world:
                if cell.harm in IN_CHILD:
                    return await play_in_child(world, cell)
                relay = Relay(target, name)
                await relay.start()

                async def cut() -> None:
                    relay.cut()

                try:
                    return await play_here(world, cell, relay.target, cut)
                finally:
                    await relay.stop()
    finally:
        await postgres.drop_database(target)


async def explore(postgres: Postgres, cells: Sequence[Cell]) -> list[Verdict]:
    """The verdicts of these cells, a few played at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def play(cell: Cell) -> Verdict:
        async with turns:
            try:
                return await _play(postgres, cell)
            except Exception as error:
                traceback.print_exc()
                return Verdict(cell, violations=[f"the proof itself failed: {error!r}"])

    return list(await asyncio.gather(*map(play, cells)))


@pytest.mark.timeout(900)
async def test_nothing_that_goes_wrong_at_any_step_costs_money_or_a_voice(
    postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = await explore(postgres, CELLS)
    with capsys.disabled():
        print(printed(verdicts, HARMS))
    assert not (found := failures(verdicts)), "\n".join(found)
