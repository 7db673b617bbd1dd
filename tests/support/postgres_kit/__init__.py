"""PostgreSQL servers of a test's own, to be stopped, killed, started again, and replaced by a standby."""

from postgres_kit.server import Server, multi_host_url
from postgres_kit.settling import until

__all__ = ["Server", "multi_host_url", "until"]
