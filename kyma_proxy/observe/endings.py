"""How requests end: one reason each, and by whom or what, for the log line, the metric and `docs/reasons.md`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from kyma_proxy.errors import BrokenFramingError, ErrorCode, GatewayError, NotAdmittedError

PLUGIN: Final = "a plugin's name"
"""Stands in the table for the names of the plugins that are configured."""


class EndReason(StrEnum):
    """How a request ended, in one word; `WORDS` has what each means."""

    COMPLETED = "completed"
    MALFORMED = "malformed"
    REFUSED = "refused"
    LIMITED = "limited"
    TIMED_OUT = "timed_out"
    CLIENT_LEFT = "client_left"
    UPSTREAM_FAILED = "upstream_failed"
    IDLE = "idle"
    UNAVAILABLE = "unavailable"
    PLUGIN_CRASHED = "plugin_crashed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DRAINED = "drained"


WORDS: Final[Mapping[EndReason, Mapping[str, str]]] = MappingProxyType(
    {
        EndReason.COMPLETED: {"": "the answer was written whole, whatever its status"},
        EndReason.MALFORMED: {"": "refused at the edge: not HTTP, or not HTTP that has one reading"},
        EndReason.REFUSED: {
            "": "answered with an error of the client's making",
            "gateway": "no such path or method, or a way to ask that is not served",
            "provider": "an upstream that the request was made anew for",
            PLUGIN: "the plugin that refused",
        },
        EndReason.LIMITED: {
            "": "refused because something was over its limit",
            "head_bytes": "the request line or a header is too long",
            "body_bytes": "the body or the file is too large",
            "requests": "`server.max_requests_in_flight` requests were under way",
            "account_requests": "so many requests of the account as may be were under way",
            "connections": "`server.max_connections` connections were open",
            "provider_rate": "the provider takes no more at this moment",
            PLUGIN: "a limit of that plugin",
        },
        EndReason.TIMED_OUT: {
            "": "a limit of time ended it",
            "client_head": "the head took longer than `server.head_timeout_seconds`",
            "client_body": "the body stopped, or came slower than `server.body_bytes_per_second_min`",
            "client_answer": "the client stopped taking its answer",
            "upstream_connect": "`timeouts.connect_seconds` of the upstream",
            "upstream_first_byte": "`timeouts.first_byte_seconds` of the upstream",
            "upstream_idle": "`timeouts.idle_seconds` of the upstream, within a request or an answer",
            "upstream_total": "`timeouts.total_seconds` of the upstream",
            "provider": "the provider said that it took too long",
        },
        EndReason.CLIENT_LEFT: {
            "": "the client hung up before its answer was written",
            "in_body": "while it was still sending its body",
            "before_answer": "while it waited",
            "in_answer": "while its answer was written",
        },
        EndReason.UPSTREAM_FAILED: {
            "": "the provider or the origin failed",
            "refused": "no connection could be made",
            "unreachable": "the upstream's certificate does not hold",
            "broken": "the connection broke off before the answer began, or what came is not HTTP",
            "broke_off": "the connection broke off within the answer; the client's was reset",
            "provider": "the provider answered that it failed, or with what cannot be used",
        },
        EndReason.IDLE: {"": "a WebSocket was closed: both sides were silent for `websocket_idle_seconds`"},
        EndReason.UNAVAILABLE: {
            "": "something that the request needs was not to be had",
            "database": "the database is away or too busy",
            "gateway": "the gateway was stopping",
            PLUGIN: "what that plugin needs is taken",
        },
        EndReason.PLUGIN_CRASHED: {
            "": "a fault in our code; the request failed closed",
            "gateway": "outside of plugins",
            PLUGIN: "the plugin that crashed",
        },
        EndReason.OUTCOME_UNKNOWN: {
            "": "the books could not be read in time; the connection was closed without an answer"
        },
        EndReason.DRAINED: {"": "cut off when the gateway stopped: it was not done within `server.drain_seconds`"},
    }
)
"""What each reason means (under the empty word), and what `by` may be beside it. No word comes from a client."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, and by whom or what: one of `WORDS`, or empty where the reason says it all."""

    reason: EndReason
    by: str = ""


COMPLETED: Final = Ending(EndReason.COMPLETED)
MALFORMED: Final = Ending(EndReason.MALFORMED)
OUTCOME_UNKNOWN: Final = Ending(EndReason.OUTCOME_UNKNOWN)
IDLE: Final = Ending(EndReason.IDLE)
CLIENT_LEFT_TUNNEL: Final = Ending(EndReason.CLIENT_LEFT, "in_answer")
DRAINED: Final = Ending(EndReason.DRAINED)
CRASHED: Final = Ending(EndReason.PLUGIN_CRASHED, "gateway")
HEAD_TOO_LONG: Final = Ending(EndReason.LIMITED, "head_bytes")
TOO_MANY_CONNECTIONS: Final = Ending(EndReason.LIMITED, "connections")
SLOW_HEAD: Final = Ending(EndReason.TIMED_OUT, "client_head")
SLOW_CLIENT: Final = Ending(EndReason.TIMED_OUT, "client_answer")

_BY_CODE: Final[Mapping[ErrorCode, Ending]] = {
    ErrorCode.REQUEST_TIMEOUT: Ending(EndReason.TIMED_OUT, "client_body"),
    ErrorCode.TOO_LARGE: Ending(EndReason.LIMITED, "body_bytes"),
    ErrorCode.URI_TOO_LONG: Ending(EndReason.LIMITED, "head_bytes"),
    ErrorCode.OWNERSHIP_WRITE_FAILED: Ending(EndReason.UNAVAILABLE, "database"),
}


def ending_of(error: GatewayError, facts: Mapping[str, Any]) -> Ending:
    """How a request ended that was answered with this error; `facts` are those of its flow.

    What is told of nowhere is the client's making.
    """
    known = _BY_CODE.get(error.code)
    if known is not None:
        return known
    if isinstance(error, BrokenFramingError):
        return MALFORMED
    if isinstance(error, NotAdmittedError):
        return Ending(EndReason.LIMITED, error.in_the_way)
    plugin = facts.get("plugin")
    if error.code in (ErrorCode.UPSTREAM_TIMEOUT, ErrorCode.UPSTREAM_UNREACHABLE, ErrorCode.PROVIDER_ERROR):
        return upstream_ending(error, facts)
    if error.code is ErrorCode.RATE_LIMITED:
        return Ending(EndReason.LIMITED, plugin or "provider_rate")
    if error.code is ErrorCode.UNAVAILABLE:
        return Ending(EndReason.UNAVAILABLE, error.in_the_way or plugin or "gateway")
    if error.code is ErrorCode.INTERNAL_ERROR:
        return Ending(EndReason.PLUGIN_CRASHED, plugin or "gateway")
    return Ending(EndReason.REFUSED, plugin or ("provider" if "upstream" in facts else "gateway"))


def upstream_ending(error: BaseException, facts: Mapping[str, Any], *, within_answer: bool = False) -> Ending:
    """How a request ended that its upstream failed, before the answer or within it; `facts` are those of its flow."""
    limit = facts.get("upstream_limit")
    if limit is not None:
        return Ending(EndReason.TIMED_OUT, f"upstream_{limit}")
    if isinstance(error, GatewayError) and error.code is ErrorCode.UPSTREAM_TIMEOUT:
        return Ending(EndReason.TIMED_OUT, "provider")
    failure = "broke_off" if within_answer else str(facts.get("upstream_failure"))
    return Ending(EndReason.UPSTREAM_FAILED, failure if failure in WORDS[EndReason.UPSTREAM_FAILED] else "provider")
