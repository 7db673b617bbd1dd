"""The one place that reads time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic_seconds() -> float:
    """Seconds for measuring how long something took; never goes back."""
    return time.monotonic()


def thread_cpu_seconds() -> float:
    """Processor time that the calling thread has used, for limits that a busy machine must not shorten."""
    return time.thread_time()


def utc_now() -> datetime:
    """The wall clock, for log lines and names only: books take their time from the database."""
    return datetime.now(UTC)


def epoch_microseconds() -> int:
    """The wall clock in microseconds since 1970, for log lines."""
    return time.time_ns() // 1000


def epoch_seconds() -> float:
    """The wall clock in seconds since 1970, for metrics."""
    return time.time()


def rfc3339(moment: datetime) -> str:
    """A moment as the API writes it: UTC, whole seconds, `2026-11-29T12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
