"""The clock."""

from datetime import UTC, datetime, timedelta, timezone
from threading import Event

from kyma_proxy.clock import monotonic_seconds, rfc3339, thread_cpu_seconds, utc_now


def test_monotonic_time_never_goes_back() -> None:
    readings = [monotonic_seconds() for _ in range(100)]
    assert readings == sorted(readings)


def test_the_wall_clock_is_in_utc() -> None:
    assert utc_now().tzinfo is UTC


def test_processor_time_goes_on_while_the_thread_works_and_not_while_it_waits() -> None:
    started = thread_cpu_seconds()
    sum(range(1_000_000))
    worked = thread_cpu_seconds()
    Event().wait(0.05)
    assert started < worked
    assert thread_cpu_seconds() - worked < 0.05


def test_moments_are_written_in_utc_to_the_second() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert rfc3339(datetime(2026, 11, 30, 2, 0, 59, 999_999, tzinfo=east)) == "2026-11-29T20:30:59Z"
