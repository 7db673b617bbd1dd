"""What a worker answers its supervisor."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kyma_proxy.reloading import ReloadOutcome
from kyma_proxy.settings.problems import Problem
from kyma_proxy.supervisor.worker import answers_of


class FakeReloads:
    """Reloads that only tell."""

    def __init__(self, outcome: ReloadOutcome) -> None:
        self.outcome = outcome
        self.told: list[str] = []

    async def prepare(self) -> ReloadOutcome:
        self.told.append("prepare")
        return self.outcome

    def commit(self) -> None:
        self.told.append("commit")

    async def abandon(self) -> None:
        self.told.append("abandon")


class FakeApplication:
    """As much of an application as is asked."""

    def __init__(self, reloads: FakeReloads | None) -> None:
        self.reloads = reloads

    async def recall(self, request_id: str) -> dict[str, str] | None:
        return {"request_id": request_id} if request_id == "req_1" else None

    def take_back(self, key: str) -> int:
        return len(key)

    async def readiness(self) -> tuple[bool, str]:
        return False, "draining"


async def test_each_question_has_its_answer() -> None:
    refused = ReloadOutcome((Problem("gateway.yaml", 1, 2, "wrong"),))
    reloads = FakeReloads(refused)
    answers = answers_of(cast("Any", FakeApplication(reloads)))
    assert await answers["readiness"](None) == [False, "draining"]
    assert ReloadOutcome.from_json(await answers["prepare"](None)) == refused
    assert await answers["recall"]("req_1") == {"request_id": "req_1"}
    assert await answers["recall"]("req_2") is None
    assert await answers["take_back"]("minimax acc_1") == 13
    await answers["commit"](None)
    await answers["abandon"](None)
    assert reloads.told == ["prepare", "commit", "abandon"]


async def test_a_worker_that_starts_or_drains_prepares_nothing() -> None:
    answers = answers_of(cast("Any", FakeApplication(None)))
    with pytest.raises(RuntimeError, match="draining"):
        await answers["prepare"](None)
