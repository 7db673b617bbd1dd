"""The clock."""

from datetime import UTC

from kyma_proxy.clock import monotonic_seconds, utc_now


def test_monotonic_time_never_goes_back() -> None:
    readings = [monotonic_seconds() for _ in range(100)]
    assert readings == sorted(readings)


def test_the_wall_clock_is_in_utc() -> None:
    assert utc_now().tzinfo is UTC
