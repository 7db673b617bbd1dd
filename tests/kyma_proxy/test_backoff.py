"""Waiting between tries."""

import asyncio

import pytest

from kyma_proxy.backoff import Backoff


async def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    backoff = Backoff(0.1, most_seconds=0.5)
    for _ in range(5):
        await backoff.pause()
    assert pauses == [0.1, 0.2, 0.4, 0.5, 0.5]
