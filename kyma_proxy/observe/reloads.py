"""The numbers of reloads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from kyma_proxy.clock import epoch_seconds


class ReloadMetrics:
    """Counts reloads and says how the last one ended. A gateway that has just started counts as reloaded.

    A process that only leads others, and in which no configuration `lives`, does not say how many are alive.
    """

    def __init__(self, registry: CollectorRegistry, *, lives: bool = True) -> None:
        self._reloads = Counter(
            "kyma_config_reloads_total", "Reloads of the configuration, by outcome.", ["outcome"], registry=registry
        )
        for outcome in ("reloaded", "refused"):
            self._reloads.labels(outcome)
        self._last = Gauge(
            "kyma_config_last_reload_successful", "Whether the last reload was taken over.", registry=registry
        )
        self._last_at = Gauge(
            "kyma_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was taken over.",
            registry=registry,
        )
        self._generations = (
            Gauge(
                "kyma_config_generations",
                "Configurations alive: the one in use and those that requests still live on.",
                registry=registry,
                multiprocess_mode="livemax",
            )
            if lives
            else None
        )
        self._last.set(1)
        self._last_at.set(epoch_seconds())

    def ended(self, *, accepted: bool) -> None:
        """A reload was taken over, or refused."""
        self._reloads.labels("reloaded" if accepted else "refused").inc()
        self._last.set(int(accepted))
        if accepted:
            self._last_at.set(epoch_seconds())

    def alive(self, generations: int) -> None:
        """So many configurations are alive."""
        if self._generations is not None:
            self._generations.set(generations)
