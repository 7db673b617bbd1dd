"""The one place that reads time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic_seconds() -> float:
    """Seconds for measuring how long something took; never goes back."""
    return time.monotonic()


def utc_now() -> datetime:
    """The wall clock, for log lines and names only: books take their time from the database."""
    return datetime.now(UTC)
