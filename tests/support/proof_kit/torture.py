"""A long search: several things go wrong at random steps, with several clients, until its time is over.

python -m proof_kit.torture --minutes 10
python -m proof_kit.torture --seed 1234 --scenarios 1      one scenario again, as a violation names it
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from database_kit import Postgres, Relay, start_postgres
from e2e_kit.world import database_url
from kyma_proxy.app import Application
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.simulators.minimax import Behaviour, Fault
from proof_kit.cells import (
    CALLS,
    CREDIT,
    Asking,
    CellWorld,
    Way,
    ask,
    cell_world,
    child_gateway,
    retry,
    settle,
    thaw_when_over,
)
from proof_kit.faults import Faulty, Harm, harm_of
from proof_kit.verdicts import Told, violations
from proof_kit.world import load, rehearsal, write_config

_MAKE, _UPLOAD, _DELETE = "the call that makes the voice", "/v1/files/upload", "/v1/delete_voice"
_PROVIDER_FAULTS: tuple[dict[str, Any], ...] = (
    {"path": _MAKE, "error_code": 1000, "moment": "after"},
    {"path": _MAKE, "error_code": 1013},
    {"path": _MAKE, "reset": True},
    {"path": _MAKE, "reset": True, "moment": "after"},
    {"path": _MAKE, "stall_seconds": 4},
    {"path": _MAKE, "http_status": 502, "moment": "after"},
    {"path": _UPLOAD, "reset": True, "moment": "after"},
    {"path": _UPLOAD, "error_code": 1002},
    {"path": _DELETE, "reset": True},
    {"path": _DELETE, "error_code": 1033},
)
_ALIVE = (Harm.EXCEPTION, Harm.HANG, Harm.LOST, Harm.OUTAGE)
LANES = 5
_KEYS = (None, None, "a", "b")
_WAYS = (Way.CLONE, Way.CLONE, Way.DESIGN, Way.DESIGN_NAMED)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong, and who asks meanwhile."""

    harms: tuple[tuple[Failpoint, Harm], ...]
    in_child: bool
    faults: tuple[Fault, ...]
    clients: tuple[Asking, ...]
    outage_seconds: float
    way: Way

    def __str__(self) -> str:
        faults = [each.model_dump(exclude_defaults=True) for each in self.faults]
        harms = ", ".join(f"{harm} at {point}" for point, harm in self.harms)
        return f"{self.way}: {harms}; provider {faults}; clients {list(self.clients)}; away for {self.outage_seconds} s"

    @classmethod
    def draw(cls, seed: int) -> Scenario:
        """The scenario of a seed, always the same."""
        dice = random.Random(seed)
        way = dice.choice(_WAYS)
        in_child = dice.random() < 0.3
        count = 1 if in_child else dice.randint(1, 3)
        kinds = (Harm.KILLED, Harm.FROZEN) if in_child else _ALIVE
        points = dice.sample([point for point in Failpoint if point in way.passes], count)
        clients = []
        for _ in range(dice.randint(1, 4)):
            key = dice.choice(_KEYS)
            # One key is used for one content: the other way is a refusal, tested elsewhere.
            recording = {"a": "one", "b": "another"}.get(key or "", dice.choice(("one", "another")))
            marked = key is None and dice.random() < 0.4
            clients.append(Asking(key, marked, recording, dice.choice((12, 12, 0.3)), way))
        faults = dice.sample(_PROVIDER_FAULTS, dice.randint(0, 2))
        return cls(
            harms=tuple((point, dice.choice(kinds)) for point in points),
            in_child=in_child,
            faults=tuple(
                Fault(**{**each, "path": CALLS[way] if each["path"] == _MAKE else each["path"]}) for each in faults
            ),
            clients=tuple(clients),
            outage_seconds=dice.choice((0.2, 1.0, 3.0)),
            way=way,
        )


async def play(postgres: Postgres, scenario: Scenario) -> list[str]:
    """What does not hold after a scenario."""
    target = await postgres.create_database()
    try:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kyma-torture-"))
            world = await stack.enter_async_context(cell_world(Path(folder), target))
            if scenario.way is Way.DESIGN_NAMED:
                world.minimax.behaviour = Behaviour(design_ids="own")
            for fault in scenario.faults:
                world.minimax.inject(fault)
            if scenario.in_child:
                ((point, harm),) = scenario.harms
                port, process = await stack.enter_async_context(child_gateway(world, point, harm))
                thawing = asyncio.get_running_loop().create_task(thaw_when_over(process, world))
                stack.callback(thawing.cancel)
            else:
                port = await _faulty_gateway(stack, world, scenario, folder)
            told = await asyncio.gather(*(ask(port, world.api_key, each) for each in scenario.clients))
            return await _judge(world, scenario, list(told))
    finally:
        await postgres.drop_database(target)


async def _faulty_gateway(stack: AsyncExitStack, world: CellWorld, scenario: Scenario, folder: str) -> int:
    relay = Relay(world.target, folder)
    await relay.start()
    stack.push_async_callback(relay.stop)

    async def cut() -> None:
        relay.cut()

    async def take_away() -> None:
        await relay.stop()
        asyncio.get_running_loop().call_later(scenario.outage_seconds, come_back)

    def come_back() -> None:
        asyncio.get_running_loop().create_task(relay.start())

    harms = {point: harm_of(point, harm, take_away if harm is Harm.OUTAGE else cut) for point, harm in scenario.harms}
    config = Path(folder, "faulty.yaml")
    minimax = world.minimax
    write_config(config, minimax_url=minimax.base_url, api_key=minimax.api_key, database_url=database_url(relay.target))
    faulty = Application(load(config), InstalledPlugins(), rehearsal=rehearsal(Faulty(harms)))
    await faulty.start()
    stack.push_async_callback(faulty.stop)
    return faulty.data.port


async def _judge(world: CellWorld, scenario: Scenario, told: list[Told]) -> list[str]:
    # Of a voice with an id of its own, whose answer nobody has read, nobody here knows.
    may_be_left = scenario.way is Way.DESIGN_NAMED
    found = violations(await settle(world), CREDIT, told, may_be_left=may_be_left)
    everything = list(told)
    for key in sorted({each.key for each in scenario.clients if each.key is not None}):
        of_key = [each for each in scenario.clients if each.key == key]
        again = await retry(world, Asking(key, recording=of_key[0].recording, way=scenario.way))
        answers = [answer for answer, asked in zip(told, scenario.clients, strict=True) if asked.key == key]
        voices = {each.voice_id for each in [*answers, again] if each.status == 200}
        if len(voices) > 1:
            found.append(f"one key, several voices: {voices}")
        everything.append(again)
    return found + violations(await settle(world), CREDIT, everything, may_be_left=may_be_left)


async def search(seed: int, scenarios: int, minutes: float) -> int:
    """Play scenarios until their number or their time is over; how many had violations."""
    server_folder = Path(tempfile.mkdtemp(prefix="kyma-torture-"))
    server_folder.chmod(0o755)
    postgres = await start_postgres(server_folder / "data")
    broken = played = 0
    ends_at = monotonic_seconds() + minutes * 60
    numbers = iter(range(seed, seed + scenarios))

    async def lane() -> None:
        nonlocal broken, played
        for number in numbers:
            if monotonic_seconds() >= ends_at:
                return
            try:
                async with asyncio.timeout(150):
                    found = await play(postgres, Scenario.draw(number))
            except Exception as error:
                found = [f"the search itself failed: {error!r}"]
            played += 1
            if found:
                broken += 1
                print(f"\nseed {number}: {Scenario.draw(number)}\n  " + "\n  ".join(found), flush=True)
            left = max(0, round(ends_at - monotonic_seconds()))
            print(f"\r{played} scenarios, {broken} with violations, {left} s left ", end="", flush=True)

    try:
        await asyncio.gather(*(lane() for _ in range(LANES)))
    finally:
        await postgres.server.stop()
    print(f"\n{played} scenarios, {broken} with violations (seeds {seed} to {seed + played - 1})")
    return broken


def main() -> None:
    """Parse arguments and search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long to search (default 10)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="the first seed")
    parser.add_argument("--scenarios", type=int, default=1_000_000, help="how many at most")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(1 if asyncio.run(search(arguments.seed, arguments.scenarios, arguments.minutes)) else 0)


if __name__ == "__main__":
    main()
