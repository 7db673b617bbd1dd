"""One log line and one set of counts for every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kyma_proxy.flow import Identity
from kyma_proxy.observe.endings import COMPLETED, MALFORMED, Ending
from kyma_proxy.observe.logs import log_line
from kyma_proxy.observe.metrics import Metrics, Phases
from kyma_proxy.observe.remembered import Remembered

LOGGER: Final = "kyma_proxy.requests"

NO_ROUTE = "none"


@dataclass(slots=True)
class RequestRecord:
    """What is known of a request; filled in while it lives, logged when it ends.

    `path` is the canonical path, or the raw one of a request that was refused before it had another; never a query
    string. `status` is the status answered, None where nothing was. `facts` may name the `route` and the `plugin`
    that refused.
    """

    request_id: str
    method: str = "-"
    path: str = "-"
    status: int | None = None
    ending: Ending | None = None
    error_code: str | None = None
    identity: Identity | None = None
    duration_seconds: float = 0.0
    first_byte_seconds: float | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)

    @property
    def route(self) -> str:
        """The guarded path or the route's pattern; `none` where there was neither."""
        return str(self.facts.get("route") or NO_ROUTE)

    @property
    def phases(self) -> Phases:
        """Where its time went."""
        return Phases(self.first_byte_seconds, _seconds(self.facts, "upstream_ms"), _seconds(self.facts, "queued_ms"))


def _seconds(facts: Mapping[str, str | int | float | bool | None], name: str) -> float | None:
    milliseconds = facts.get(name)
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None


class RequestObserver:
    """Told of every request by the listener; writes the access log and keeps the metrics."""

    def __init__(self, metrics: Metrics, remembered: Remembered | None = None) -> None:
        self._metrics = metrics
        self._remembered = remembered or Remembered(0)

    def connected(self) -> None:
        """A client connected; `disconnected` follows, exactly once."""
        self._metrics.connected()

    def disconnected(self) -> None:
        """A client's connection has ended."""
        self._metrics.disconnected()

    def started(self) -> None:
        """A request's head is complete; `ended` follows, exactly once."""
        self._metrics.request_started()

    def ended(self, record: RequestRecord) -> None:
        """A started request came to its end."""
        ending = record.ending or COMPLETED
        route, phases, upstream = record.route, record.phases, record.facts.get("upstream")
        self._metrics.request_ended(record.method, route, record.status, ending, record.duration_seconds)
        self._metrics.request_took(route, str(upstream) if upstream else None, phases)
        self._metrics.count_bytes(record.bytes_in, record.bytes_out)
        self._tell(record, ending, phases)

    def refused_unread(self, record: RequestRecord) -> None:
        """Something was answered that never became a request: malformed HTTP, or a head that was too slow."""
        ending = record.ending or MALFORMED
        self._metrics.count_answer(record.method, record.route, record.status, ending)
        self._tell(record, ending, record.phases)

    def _tell(self, record: RequestRecord, ending: Ending, phases: Phases) -> None:
        line = _line(record, ending, phases)
        self._remembered.keep(record.request_id, line)
        log_line("request", LOGGER, line)


def _line(record: RequestRecord, ending: Ending, phases: Phases) -> dict[str, Any]:
    # Our own fields come last: a plugin's fact cannot pose as one of them.
    fields = {
        "plugin": None,
        **record.facts,
        "request_id": record.request_id,
        "method": record.method,
        "path": record.path,
        "route": record.route,
        "status": record.status,
        "account_id": record.identity.account_id if record.identity else None,
        "key_id": record.identity.key_id if record.identity else None,
        "duration_ms": round(record.duration_seconds * 1000, 1),
        "first_byte_ms": None if phases.first_byte is None else round(phases.first_byte * 1000, 1),
        "overhead_ms": None if phases.overhead is None else round(phases.overhead * 1000, 1),
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "reason": ending.reason.value,
        "by": ending.by or None,
        "code": record.error_code,
    }
    fields.pop("event", None)
    return fields
