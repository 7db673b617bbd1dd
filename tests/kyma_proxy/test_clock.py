"""The clock."""

from datetime import UTC
from threading import Event

from kyma_proxy.clock import monotonic_seconds, thread_cpu_seconds, utc_now


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
