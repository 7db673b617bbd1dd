"""PostgreSQL is stopped at every step of a mint and started again: nothing is lost, nothing is bought twice."""

from __future__ import annotations

import asyncio
import tempfile
import traceback
from pathlib import Path

import pytest

from kyma_proxy.failpoints import Failpoint
from postgres_kit.server import Server
from proof_kit.cells import Cell, Verdict, Way, cell_world, failures, play_here, printed
from proof_kit.faults import Harm

SERVERS = 4
AWAY_SECONDS = 1.0


async def _play(server: Server, cell: Cell) -> Verdict:
    target = await server.migrated()
    starting: list[asyncio.Task[None]] = []

    async def come_back() -> None:
        await asyncio.sleep(AWAY_SECONDS)
        await server.start()

    async def stop_server() -> None:
        await server.stop("immediate")
        starting.append(asyncio.get_running_loop().create_task(come_back()))

    with tempfile.TemporaryDirectory(prefix="kyma-proof-") as name:
        try:
            async with cell_world(Path(name), target) as world:
                return await play_here(world, cell, target, stop_server)
        except Exception as error:
            traceback.print_exc()
            return Verdict(cell, violations=[f"the proof itself failed: {error!r}"])
        finally:
            await asyncio.gather(*starting)
            await server.start()


@pytest.mark.timeout(600)
async def test_a_database_that_stops_at_any_step_and_comes_back_costs_nobody_anything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = asyncio.Queue[Cell]()
    order = [point for point in Failpoint if not point.value.startswith("charge.")]
    for point in order:
        way = Way.CLONE if point in Way.CLONE.passes else Way.DESIGN_NAMED
        waiting.put_nowait(Cell(point, Harm.OUTAGE, way))
    verdicts: list[Verdict] = []

    async def lane() -> None:
        async with Server() as server:
            while not waiting.empty():
                verdicts.append(await _play(server, waiting.get_nowait()))

    await asyncio.gather(*(lane() for _ in range(SERVERS)))
    verdicts.sort(key=lambda each: order.index(each.cell.point))
    with capsys.disabled():
        print(printed(verdicts, [Harm.OUTAGE]))
    assert len(verdicts) == len(order)
    assert not (found := failures(verdicts)), "\n".join(found)
