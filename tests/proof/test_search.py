"""The long search (`make torture`) in short: its first scenarios, the same each time."""

from __future__ import annotations

import asyncio

import pytest

from database_kit import Postgres
from proof_kit.cells import Way
from proof_kit.torture import LANES, Scenario, play


@pytest.mark.timeout(300)
async def test_several_faults_at_once_cost_nobody_anything(postgres: Postgres) -> None:
    turns = asyncio.Semaphore(LANES)

    async def judge(seed: int) -> list[str]:
        async with turns:
            return [f"seed {seed}: {each}" for each in await play(postgres, Scenario.draw(seed))]

    judged = await asyncio.gather(*(judge(seed) for seed in range(1000, 1015)))
    found = [each for one in judged for each in one]
    assert not found, "\n".join(found)


def test_a_seed_always_means_the_same() -> None:
    assert Scenario.draw(7) == Scenario.draw(7)
    drawn = [Scenario.draw(seed) for seed in range(200)]
    assert {each.way for each in drawn} == set(Way)
    assert {point for each in drawn for point, _ in each.harms} == Way.CLONE.passes | Way.DESIGN_NAMED.passes
    assert any(each.in_child for each in drawn)
    assert any(client.is_marked_retry for each in drawn for client in each.clients)
