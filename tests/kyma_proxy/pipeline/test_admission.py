"""Places in line: never more at once than allowed, in order, and nothing lost when somebody gives up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from kyma_proxy.errors import ErrorCode, NotAdmittedError
from kyma_proxy.flow import Flow, Identity
from kyma_proxy.pipeline.admission import Admission, Shares
from kyma_proxy.settings import load_settings
from kyma_proxy.testing.flows import make_flow


async def test_each_key_has_places_of_its_own_and_the_next_in_line_gets_a_free_one() -> None:
    shares = Shares(1, 8, 5)
    await shares.take("a")
    await shares.take("b")
    order: list[int] = []

    async def wait(number: int) -> None:
        await shares.take("a")
        order.append(number)
        await asyncio.sleep(0)
        shares.give_back("a")

    waiting = [asyncio.ensure_future(wait(number)) for number in range(5)]
    await asyncio.sleep(0.01)
    assert order == []
    shares.give_back("a")
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]
    shares.give_back("b")
    assert repr(shares) == "Shares(0 keys, 1 each)"


async def test_a_line_that_is_too_long_and_a_wait_that_is_too_long_are_refused() -> None:
    shares = Shares(1, 1, 0.02)
    await shares.take("a")
    waiting = asyncio.ensure_future(shares.take("a"))
    await asyncio.sleep(0)
    with pytest.raises(NotAdmittedError) as caught:
        await shares.take("a")
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.headers == {"Retry-After": "1"}
    assert caught.value.in_the_way == "account_requests"
    with pytest.raises(NotAdmittedError):
        await waiting
    shares.give_back("a")
    assert repr(shares) == "Shares(0 keys, 1 each)"


async def test_whatever_the_schedule_no_place_is_lost_or_given_twice() -> None:
    chance = random.Random(7)
    shares = Shares(3, 50, 5)
    running = most = served = 0

    async def use() -> None:
        nonlocal running, most, served
        await shares.take("a")
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(chance.random() * 0.002)
            served += 1
        finally:
            running -= 1
            shares.give_back("a")

    for _ in range(20):
        using = [asyncio.ensure_future(use()) for _ in range(20)]
        for task in chance.sample(using, 8):
            asyncio.get_running_loop().call_later(chance.random() * 0.004, task.cancel)
        await asyncio.gather(*using, return_exceptions=True)
    assert most == 3
    assert served > 200
    assert repr(shares) == "Shares(0 keys, 3 each)"


CONFIG = """
version: 1
server: {max_requests_per_account: 3, max_waiting_per_account: 0, workers: WORKERS}
upstreams:
  slow: {adapter: forward, base_url: "http://127.0.0.1:1", max_requests_per_account: 2}
  free: {adapter: forward, base_url: "http://127.0.0.1:2"}
routes: [{path: "/v1/audio/**", upstream: slow}]
"""


def admission(tmp_path: Path, workers: int = 1) -> Admission:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.replace("WORKERS", str(workers)))
    return Admission(load_settings(path, plugins={}, environ={}))


def flow_of(account: str | None) -> Flow:
    flow = make_flow("POST", "/v1/audio/speech")
    flow.identity = None if account is None else Identity(account, "key")
    return flow


async def test_an_account_has_its_share_of_each_upstream_and_of_all(tmp_path: Path) -> None:
    made = admission(tmp_path)
    taken = [await made.enter(flow_of("a"), "slow") for _ in range(2)]
    with pytest.raises(NotAdmittedError):
        await made.enter(flow_of("a"), "slow")
    taken.append(await made.enter(flow_of("a"), "free"))
    with pytest.raises(NotAdmittedError):
        await made.enter(flow_of("a"), "free")
    flow = flow_of("b")
    with await made.enter(flow, "slow"):
        assert flow.facts["queued_ms"] == pytest.approx(0, abs=50)
    for each in taken:
        each.leave()
        each.leave()
    for _ in range(2):
        taken.append(await made.enter(flow_of("a"), "slow"))


async def test_nobody_limits_a_request_without_an_account(tmp_path: Path) -> None:
    made = admission(tmp_path)
    for _ in range(50):
        await made.enter(flow_of(None), "slow")


async def test_each_of_several_processes_admits_its_part_and_at_least_one(tmp_path: Path) -> None:
    made = admission(tmp_path, workers=8)
    await made.enter(flow_of("a"), "slow")
    with pytest.raises(NotAdmittedError):
        await made.enter(flow_of("a"), "slow")
