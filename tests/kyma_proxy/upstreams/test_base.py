"""The promises that every upstream keeps about starting and stopping."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from kyma_proxy.settings.models import ForwardUpstreamSettings, MiniMaxUpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.forward import ForwardUpstream
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream


def forward(base_url: str) -> Upstream:
    return ForwardUpstream("origin", ForwardUpstreamSettings.model_validate({"base_url": base_url}))


def minimax(base_url: str) -> Upstream:
    values = {"base_url": base_url, "api_key": SecretStr("sk-api-x")}
    return MiniMaxUpstream("minimax", MiniMaxUpstreamSettings.model_validate(values), Tasks())


@pytest.mark.parametrize("make", [forward, minimax])
async def test_an_upstream_that_is_away_does_not_stop_the_gateway(
    make: Callable[[str], Upstream], refused_url: str
) -> None:
    upstream = make(refused_url)
    await upstream.stop()  # before any start
    await upstream.start()
    await upstream.stop()
    await upstream.stop()
