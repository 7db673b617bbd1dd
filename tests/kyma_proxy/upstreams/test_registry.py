"""The adapter in the configuration decides the class."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kyma_proxy.failpoints import Failpoint
from kyma_proxy.observe.upstreams import UpstreamMetrics
from kyma_proxy.settings.models import ForwardUpstreamSettings, MiniMaxUpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.forward import ForwardUpstream
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.upstreams.registry import build_upstream
from kyma_proxy.voices.provider import MakesVoices, ProviderError


@pytest.mark.parametrize(
    ("model", "values", "expected", "makes_voices"),
    [
        (ForwardUpstreamSettings, {"adapter": "forward"}, ForwardUpstream, False),
        (MiniMaxUpstreamSettings, {"adapter": "minimax", "api_key": "sk-api-x"}, MiniMaxUpstream, True),
    ],
)
def test_each_adapter_has_its_class(
    model: type[ForwardUpstreamSettings] | type[MiniMaxUpstreamSettings],
    values: dict[str, str],
    expected: type[Upstream],
    makes_voices: bool,
) -> None:
    settings = model.model_validate({"base_url": "https://upstream.test", **values})
    upstream = build_upstream("one", settings, Tasks(), numbers=UpstreamMetrics(CollectorRegistry()))
    assert type(upstream) is expected
    assert upstream.name == "one"
    assert isinstance(upstream, MakesVoices) is makes_voices


async def test_failpoints_reach_the_calls_that_make_voices() -> None:
    passed: list[Failpoint] = []

    class Rig:
        async def reach(self, point: Failpoint, subject: Any = None) -> None:
            passed.append(point)

    values = {"base_url": "https://upstream.test", "adapter": "minimax", "api_key": "sk-api-x"}
    settings = MiniMaxUpstreamSettings.model_validate(values)
    numbers = UpstreamMetrics(CollectorRegistry())
    upstream = build_upstream("one", settings, Tasks(), numbers=numbers, failpoints=Rig())
    assert isinstance(upstream, MakesVoices)
    with pytest.raises(ProviderError):
        await upstream.voice_accounts.choose().delete_voice("kyma_0123456789abcdef", "clone")  # it was not started
    assert passed == [Failpoint.DELETE_CALL]
