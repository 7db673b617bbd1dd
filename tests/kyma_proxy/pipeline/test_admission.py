"""An account has its places at each upstream and in all; who has none is told what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from kyma_proxy.errors import NotAdmittedError
from kyma_proxy.flow import Flow, Identity
from kyma_proxy.pipeline.admission import Admission
from kyma_proxy.settings import load_settings
from kyma_proxy.testing.flows import make_flow

CONFIG = """
version: 1
server: {max_requests_per_account: 3, max_waiting_per_account: 0}
upstreams:
  slow: {adapter: forward, base_url: "http://127.0.0.1:1", max_requests_per_account: 2}
  free: {adapter: forward, base_url: "http://127.0.0.1:2"}
routes: [{path: "/v1/audio/**", upstream: slow}]
"""


def admission(tmp_path: Path) -> Admission:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
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
