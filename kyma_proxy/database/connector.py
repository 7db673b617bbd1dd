"""Opening connections to a database that may be on one of several hosts, as after a failover."""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import CLIENT_ERRORS, is_away
from kyma_proxy.database.target import DatabaseTarget

_log = structlog.get_logger("kyma_proxy.database")


class Connector:
    """Opens connections to one target.

    Of several hosts each gets its share of the time, so that one that is silent (a machine that died says nothing, not
    even no) does not use up that of the others, as it would within asyncpg. If only a primary will do, the host that
    was it last is asked first: a dead one then costs one connection that time and not every one.
    """

    def __init__(self, target: DatabaseTarget) -> None:
        self._target = target
        self._first = 0

    def __repr__(self) -> str:
        return f"Connector({self._target.label})"

    async def connect(self, timeout_seconds: float, **options: Any) -> Any:
        """A new connection, within `timeout_seconds`; `options` are further arguments of `asyncpg.connect`.

        Raises what asyncpg raises: OSError, PostgresError, and TargetServerAttributeNotMatched where every host
        answered and none is what the target wants.
        """
        arguments = {**self._target.connect_arguments(), **options}
        hosts = self._target.hosts
        if len(hosts) < 2:
            return await asyncpg.connect(**arguments, timeout=timeout_seconds)
        deadline = monotonic_seconds() + timeout_seconds
        failure: BaseException | None = None
        for tried in range(len(hosts)):
            index = (self._first + tried) % len(hosts)
            host, port = hosts[index]
            share_seconds = max(0.0, deadline - monotonic_seconds()) / (len(hosts) - tried)
            try:
                connection = await asyncpg.connect(**{**arguments, "host": host, "port": port}, timeout=share_seconds)
            except CLIENT_ERRORS as error:
                if not is_away(error):
                    raise
                _log.debug("database_host_passed_over", host=host, port=port, error=type(error).__name__)
                failure = error
            else:
                if self._target.wants_primary:
                    self._first = index
                return connection
        raise failure or OSError("no host")
