"""The numbers of reloads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from kyma_proxy.observe.reloads import ReloadMetrics


def test_the_last_reload_and_all_of_them() -> None:
    registry = CollectorRegistry()
    metrics = ReloadMetrics(registry)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    started_at = value("kyma_config_last_reload_success_timestamp_seconds")
    assert value("kyma_config_last_reload_successful") == 1
    assert value("kyma_config_reloads_total", outcome="refused") == 0
    metrics.ended(accepted=False)
    assert value("kyma_config_last_reload_successful") == 0
    assert value("kyma_config_last_reload_success_timestamp_seconds") == started_at
    metrics.ended(accepted=True)
    assert value("kyma_config_last_reload_successful") == 1
    assert value("kyma_config_reloads_total", outcome="reloaded") == 1
    assert value("kyma_config_reloads_total", outcome="refused") == 1
    metrics.alive(3)
    assert value("kyma_config_generations") == 3
