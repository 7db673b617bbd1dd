"""Which adapter speaks to which kind of upstream."""

from __future__ import annotations

from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.settings.models import ForwardUpstreamSettings, MiniMaxUpstreamSettings, UpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.doors import Health, UpstreamNumbers
from kyma_proxy.upstreams.forward import ForwardUpstream
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.windows import CallWindows


def build_upstream(
    name: str,
    settings: UpstreamSettings,
    tasks: Tasks,
    *,
    numbers: UpstreamNumbers,
    windows: CallWindows | None = None,
    failpoints: Failpoints = NO_FAILPOINTS,
) -> Upstream:
    """The upstream of one entry of the configuration, not started.

    `tasks` takes the work that must be finished, and probes; `numbers` are told what fails, and of connections;
    `windows` keep to what providers take in a minute; `failpoints` are reached around the calls that make voices.
    """
    health = Health(name, settings.breaker, numbers, tasks)
    match settings:
        case MiniMaxUpstreamSettings():
            return MiniMaxUpstream(name, settings, tasks, failpoints=failpoints, health=health, windows=windows)
        case ForwardUpstreamSettings():
            return ForwardUpstream(name, settings, health)
