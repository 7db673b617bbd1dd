"""Hostile bytes on the wire: each case has one reading or none, and nothing hidden in it is ever served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from e2e_kit.hostile import Case, Edge, hostile_edge, judge, play, require_nothing_smuggled
from e2e_kit.hostile_flow import FLOW
from e2e_kit.hostile_framing import FRAMING
from e2e_kit.hostile_heads import HEADS

# Short, since some cases wait for them.
_SERVER = "head_timeout_seconds: 1.0, body_idle_timeout_seconds: 1.0"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """One gateway for all cases: what a case leaves behind must not reach the next one either."""
    target = await postgres.create_database()
    async with hostile_edge(target, tmp_path_factory.mktemp("hostile"), server=_SERVER) as edge:
        yield edge
        require_nothing_smuggled(edge.origin.seen)
    await postgres.drop_database(target)


CASES = [*FRAMING, *HEADS, *FLOW]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_one_reading_or_none(edge: Edge, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    edge.origin.seen.clear()
    answers = await play(edge.port, case)
    judge(case, answers, edge.origin)
    said = capsys.readouterr().out
    assert "connection_failed" not in said
    assert "request_crashed" not in said
    assert "Traceback" not in said


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 160
    assert len({case.name for case in CASES}) == len(CASES)
