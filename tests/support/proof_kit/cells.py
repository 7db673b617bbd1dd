"""One cell of the matrix: a mint in which one thing goes wrong at one step, recovery, a retry, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import aiohttp

from e2e_kit.world import CLONE_PATH, DESIGN_PATH, database_url
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.app import Application
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.simulators.minimax import Behaviour, Fault, MiniMaxSimulator
from kyma_proxy.testing.audio import silent_wav
from postgres_kit.processes import state_of
from proof_kit.faults import Cut, Faulty, Harm, harm_of
from proof_kit.verdicts import PRICE, Books, Told, read_books, violations
from proof_kit.world import load, rehearsal, write_config

CREDIT = 3 * PRICE
SETTLE_SECONDS = 20.0
RECORDINGS = {"one": silent_wav(10, bits=8), "another": silent_wav(11, bits=8)}
_CHILD = Path(__file__).with_name("child_gateway.py")
NOTHING = Told(None)
IN_CHILD = (Harm.KILLED, Harm.FROZEN)


class Way(StrEnum):
    """How a voice is made."""

    CLONE = "clone"
    DESIGN = "design"
    DESIGN_NAMED = "design, named by the provider"

    @property
    def passes(self) -> frozenset[Failpoint]:
        """The steps that such a mint passes, if only when something fails."""
        clone = {point for point in Failpoint if point.value.startswith(("provider.upload", "provider.clone"))}
        design = {Failpoint.DESIGN_CALL, Failpoint.DESIGN_ANSWERED}
        charges = {point for point in Failpoint if point.value.startswith("charge.")}
        others = {Way.CLONE: design | {Failpoint.NOTED}, Way.DESIGN: clone | {Failpoint.NOTED}}
        return frozenset(Failpoint) - charges - others.get(self, clone)


CALLS = {Way.CLONE: "/v1/voice_clone", Way.DESIGN: "/v1/voice_design", Way.DESIGN_NAMED: "/v1/voice_design"}
"""Which call of the provider makes the voice."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What goes wrong, and where."""

    point: Failpoint
    harm: Harm
    way: Way = Way.CLONE

    def __str__(self) -> str:
        return f"{self.way}: {self.point} x {self.harm}"

    @property
    def may_leave_a_voice(self) -> bool:
        """Whether a voice may stay at the provider: one with an id of its own, whose answer nobody here has read."""
        return self.way is Way.DESIGN_NAMED and self.point is Failpoint.DESIGN_ANSWERED

    @property
    def needs_failure(self) -> bool:
        """Whether the step is passed only by a mint that the provider fails."""
        return self.point.value.startswith(("mint.und", "provider.delete"))


@dataclass
class Verdict:
    """What came of a cell."""

    cell: Cell
    passed: bool = False
    first: Told = NOTHING
    retried: Told = NOTHING
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.violations:
            return "VIOLATED"
        return f"{self.first}>{self.retried}" if self.passed else "not passed"


@dataclass
class CellWorld:
    """Where a cell plays: the survivor shares books and provider with the gateway that something happens to."""

    folder: Path
    minimax: MiniMaxSimulator
    target: DatabaseTarget
    survivor: Application
    account_id: str
    api_key: str

    async def books(self) -> Books:
        """As the survivor reads them."""
        return await read_books(self.survivor.database, self.account_id, self.minimax)


@asynccontextmanager
async def cell_world(folder: Path, target: DatabaseTarget, *, metered: bool = False) -> AsyncIterator[CellWorld]:
    """A world over a fresh, migrated database; with `metered` speech costs money."""
    async with AsyncExitStack() as stack:
        minimax = await stack.enter_async_context(MiniMaxSimulator())
        config = folder / "survivor.yaml"
        url = database_url(target)
        write_config(config, minimax_url=minimax.base_url, api_key=minimax.api_key, database_url=url, metered=metered)
        survivor = Application(load(config), InstalledPlugins(), rehearsal=rehearsal())
        await survivor.start()
        stack.push_async_callback(survivor.stop)
        opened = await survivor.database.transact(lambda connection: open_account(connection, "Ada", CREDIT, "proof"))
        yield CellWorld(folder, minimax, target, survivor, opened.account_id, opened.api_key)


@dataclass(frozen=True, slots=True)
class Asking:
    """How a client asks for a voice."""

    key: str | None = None
    is_marked_retry: bool = False
    recording: str = "one"
    seconds: float = 12
    way: Way = Way.CLONE


async def ask(port: int, api_key: str, how: Asking) -> Told:
    """Ask for a voice once; what the client was told, if anything."""
    path, body = _request(how)
    headers = {"Authorization": f"Bearer {api_key}", "x-stainless-retry-count": str(int(how.is_marked_retry))}
    if how.key is not None:
        headers["Idempotency-Key"] = how.key
    timeout = aiohttp.ClientTimeout(total=how.seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(f"http://127.0.0.1:{port}{path}", data=body, headers=headers) as answer,
        ):
            fields = json.loads(await answer.read())
            if answer.status == 200:
                return Told(200, fields["voice_id"], replayed="idempotent-replayed" in answer.headers)
            return Told(answer.status, code=fields["error"]["code"])
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Told(None)


def _request(how: Asking) -> tuple[str, Any]:
    if how.way is not Way.CLONE:
        return DESIGN_PATH, json.dumps({"description": f"The voice of {how.recording}."})
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("file", io.BytesIO(RECORDINGS[how.recording]), filename="a.wav")
    return CLONE_PATH, form


async def settle(world: CellWorld) -> Books:
    """Wait until nothing is under way, or too long; a database that is away may come back meanwhile."""
    books: Books | None = None
    async with asyncio.timeout(SETTLE_SECONDS + 10):
        for _ in range(round(SETTLE_SECONDS / 0.1)):
            try:
                books = await world.books()
            except DatabaseUnavailableError:
                books = None
            if books is not None and books.settled:
                return books
            await asyncio.sleep(0.1)
    return books or await world.books()


async def retry(world: CellWorld, how: Asking) -> Told:
    """Repeat the request at the survivor as a client would, until it is neither in progress nor put off."""
    told = Told(None)
    for _ in range(60):
        told = await ask(world.survivor.data.port, world.api_key, how)
        if told.status not in (409, 503):
            break
        await asyncio.sleep(0.1)
    return told


def printed(verdicts: Sequence[Verdict], harms: Sequence[Harm]) -> str:
    """A row for each step, a column for each harm: what the client was told, and then on its retry."""
    told = {(each.cell.way, each.cell.point, each.cell.harm): str(each) for each in verdicts}
    lines = ["", f"{'what the client was told > and on its retry':<58}" + "".join(f"{harm:>12}" for harm in harms)]
    for way, point in dict.fromkeys((each.cell.way, each.cell.point) for each in verdicts):
        row = "".join(f"{told.get((way, point, harm), ''):>12}" for harm in harms)
        lines.append(f"{f'{way}: {point}':<58}{row}")
    broken = sum(bool(each.violations) for each in verdicts)
    lines.append(f"{len(verdicts)} cells, {broken} with violations")
    return "\n".join(lines)


def failures(verdicts: Sequence[Verdict]) -> list[str]:
    """What did not hold, cell by cell; a step that was never passed proves nothing and is a failure too."""
    found = [f"{each.cell}: {each.violations}" for each in verdicts if each.violations]
    return found + [f"{each.cell}: never passed" for each in verdicts if not each.passed]


async def play_here(world: CellWorld, cell: Cell, target: DatabaseTarget, cut: Cut) -> Verdict:
    """Play a cell whose gateway lives in this process; `target` leads to the database through what `cut` cuts."""
    config = world.folder / "faulty.yaml"
    write_config(
        config,
        minimax_url=world.minimax.base_url,
        api_key=world.minimax.api_key,
        database_url=database_url(target),
    )
    failpoints = Faulty({cell.point: harm_of(cell.point, cell.harm, cut)})
    faulty = Application(load(config), InstalledPlugins(), rehearsal=rehearsal(failpoints))
    await faulty.start()
    try:
        verdict = await _play(world, cell, faulty.data.port)
        verdict.passed = bool(failpoints.passed)
    finally:
        await faulty.stop()
    return verdict


@asynccontextmanager
async def child_gateway(
    world: CellWorld, point: Failpoint, harm: Harm
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """A gateway in a process of its own, killed or frozen at the step, and the port of its data plane."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(_CHILD), str(world.folder / "survivor.yaml"), point.value, harm.value),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        port = 0
        async with asyncio.timeout(60):
            while not port:
                line = await process.stdout.readline()
                assert line, "the gateway did not start"
                event = json.loads(line) if line.startswith(b"{") else {}
                port = event.get("port", 0) if event.get("event") == "serving" else 0
        reading = asyncio.get_running_loop().create_task(process.stdout.read())
        yield port, process
    finally:
        # It may have ended by itself, and asyncio not know it yet.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def play_in_child(world: CellWorld, cell: Cell) -> Verdict:
    """Play a cell whose gateway is a process of its own, killed or frozen at the step."""
    async with child_gateway(world, cell.point, cell.harm) as (port, process):
        watch = asyncio.get_running_loop().create_task(thaw_when_over(process, world))
        verdict = await _play(world, cell, port)
        verdict.passed = await watch
    return verdict


async def thaw_when_over(process: asyncio.subprocess.Process, world: CellWorld) -> bool:
    """Wait until the process is dead or stands still; let a frozen one go on once its mint is no longer its own."""
    for _ in range(600):
        if process.returncode is not None:
            return process.returncode == -signal.SIGKILL
        if state_of(process.pid) == "T":
            # Locks that it holds keep the reconciler away; nothing more happens then until it goes on.
            for _ in range(20):
                await asyncio.sleep(0.1)
                if (await world.books()).settled:
                    break
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            return True
        await asyncio.sleep(0.02)
    return False


async def _play(world: CellWorld, cell: Cell, port: int) -> Verdict:
    how = Asking(key="proof", way=cell.way)
    if cell.way is Way.DESIGN_NAMED:
        world.minimax.behaviour = Behaviour(design_ids="own")
    if cell.needs_failure:
        # Of an answer that says it failed nobody reads an id: then there is none at the provider either.
        moment: Literal["before", "after"] = "before" if cell.way is Way.DESIGN_NAMED else "after"
        world.minimax.inject(Fault(path=CALLS[cell.way], error_code=1000, moment=moment))
    verdict = Verdict(cell)
    verdict.first = await ask(port, world.api_key, how)
    books = await settle(world)
    verdict.violations += violations(books, CREDIT, [verdict.first], may_be_left=cell.may_leave_a_voice)
    verdict.retried = await retry(world, how)
    books = await settle(world)
    if verdict.retried.status != 200:
        verdict.violations.append(f"a retry was told {verdict.retried.status} {verdict.retried.code}")
    if len(books.active) != 1:
        verdict.violations.append(f"asked twice with one key, {len(books.active)} voices were bought")
    told = [verdict.first, verdict.retried]
    verdict.violations += violations(books, CREDIT, told, may_be_left=cell.may_leave_a_voice)
    return verdict
