"""At every step of a charge for speech everything goes wrong once: what was heard is paid for, and only once."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from database_kit import Postgres, Relay
from e2e_kit.world import SPEECH_PATH, database_url
from kyma_proxy.app import Application
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.ledger.audit import audit
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.simulators.minimax import Fault
from proof_kit.cells import CellWorld, cell_world, child_gateway, thaw_when_over
from proof_kit.faults import Faulty, Harm, harm_of
from proof_kit.world import load, rehearsal, write_config

POINTS = (Failpoint.CHARGE_HOLD, Failpoint.CHARGE_HELD, Failpoint.CHARGE_END, Failpoint.CHARGE_ENDED)
HARMS = (Harm.EXCEPTION, Harm.HANG, Harm.LOST, Harm.KILLED, Harm.FROZEN)
TEXT = "Mind the gap, please."
MICROS = -(-len(TEXT) * 84_000 // 1000)
T2A = "/v1/t2a_v2"


@dataclass(frozen=True, slots=True)
class Cell:
    """What goes wrong, and where; whether the provider fails as well."""

    point: Failpoint
    harm: Harm
    provider_fails: bool = False

    def __str__(self) -> str:
        return f"{self.point} x {self.harm}{' and the provider fails' if self.provider_fails else ''}"


async def speak(port: int, api_key: str) -> tuple[int | None, bytes]:
    """Speak once, as a stream; status and audio of a whole answer, None and what came of one that broke off."""
    body = json.dumps(
        {"model": "minimax-speech-turbo", "input": TEXT, "voice": "English_Graceful_Lady", "stream": True}
    )
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    audio = b""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=12)) as http,
            http.post(f"http://127.0.0.1:{port}{SPEECH_PATH}", data=body, headers=headers) as answer,
        ):
            async for piece in answer.content.iter_any():
                audio += piece
            return answer.status, audio
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None, audio


async def settled(world: CellWorld) -> int:
    """What was charged, once nothing is held any more."""
    for _ in range(200):
        if not (await world.books()).open_holds:
            break
        await asyncio.sleep(0.1)
    books = await world.books()
    assert (books.open_holds, books.held) == (0, 0)
    assert (await world.survivor.database.borrow(audit)).problems == ()
    return 3 * 2_100_000 - books.balance


async def play(postgres: Postgres, cell: Cell) -> str:
    """What was told and charged."""
    target = await postgres.create_database()
    with tempfile.TemporaryDirectory(prefix="kyma-proof-") as name:
        folder = Path(name)
        async with cell_world(folder, target, metered=True) as world:
            if cell.provider_fails:
                world.minimax.inject(Fault(path=T2A, error_code=1000))
            passed = await (_in_child if cell.harm in (Harm.KILLED, Harm.FROZEN) else _here)(world, cell, target)
            told, audio, was_passed = passed
            assert was_passed, f"{cell}: never passed"
            charged = await settled(world)
            heard = told == 200 and len(audio) > 500
            assert charged in (0, MICROS), f"{cell}: charged {charged}"
            if cell.harm is Harm.KILLED:
                # Nobody knows what was heard: it costs nothing, unless the charge was written before the end.
                assert heard or not audio or cell.point in POINTS[2:]
            else:
                assert (charged == MICROS) is heard, f"{cell}: told {told}, {len(audio)} bytes, charged {charged}"
            again, more = await speak(world.survivor.data.port, world.api_key)
            assert (again, len(more) > 500) == (200, True)
            assert await settled(world) == charged + MICROS
    await postgres.drop_database(target)
    return f"{told}/{charged}"


async def _here(world: CellWorld, cell: Cell, target: object) -> tuple[int | None, bytes, bool]:
    relay = Relay(target, str(world.folder))  # type: ignore[arg-type]
    await relay.start()
    config = world.folder / "faulty.yaml"
    url = database_url(relay.target)
    write_config(
        config, minimax_url=world.minimax.base_url, api_key=world.minimax.api_key, database_url=url, metered=True
    )

    async def cut() -> None:
        relay.cut()

    failpoints = Faulty({cell.point: harm_of(cell.point, cell.harm, cut)})
    faulty = Application(load(config), InstalledPlugins(), rehearsal=rehearsal(failpoints))
    await faulty.start()
    try:
        told, audio = await speak(faulty.data.port, world.api_key)
        await faulty.tasks.drain(10)
    finally:
        await faulty.stop()
        await relay.stop()
    return told, audio, bool(failpoints.passed)


async def _in_child(world: CellWorld, cell: Cell, _target: object) -> tuple[int | None, bytes, bool]:
    async with child_gateway(world, cell.point, cell.harm) as (port, process):
        watch = asyncio.get_running_loop().create_task(thaw_when_over(process, world))
        told, audio = await speak(port, world.api_key)
        passed = await watch
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return told, audio, passed


CELLS = [Cell(point, harm) for point in POINTS for harm in HARMS] + [
    Cell(point, harm, provider_fails=True) for point in POINTS[2:] for harm in HARMS
]


@pytest.mark.timeout(300)
async def test_speech_that_was_heard_is_paid_for_once_whatever_goes_wrong(
    postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = asyncio.Semaphore(4)

    async def in_turn(cell: Cell) -> str:
        async with turns:
            return await play(postgres, cell)

    results = await asyncio.gather(*map(in_turn, CELLS), return_exceptions=True)
    found = [f"{cell}: {result!r}" for cell, result in zip(CELLS, results, strict=True) if not isinstance(result, str)]
    with capsys.disabled():
        print(f"\nspeech: {len(CELLS)} cells, {len(found)} with violations")
    assert not found, "\n".join(found)
