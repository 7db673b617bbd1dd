"""How an exchange with an upstream fails: one exception, one word for what happened."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Limit = Literal["connect", "first_byte", "idle", "total"]
"""Which of an upstream's time limits ended an exchange, by its name in the settings."""


class FailureKind(StrEnum):
    """What went wrong, in the words of a log line."""

    REFUSED = "refused"
    """No connection could be made; nothing was sent."""
    UNREACHABLE = "unreachable"
    """Connecting took too long, or the upstream's certificate does not hold; nothing was sent."""
    SILENT = "silent"
    """The upstream stopped reading, or did not answer in time."""
    BROKEN = "broken"
    """The connection broke off, or what came over it is not HTTP."""


class TransportError(Exception):
    """An exchange with an upstream failed.

    `limit` names the time limit that was reached, None where none was. `retry_after_seconds` says when it may be
    better, where that is known. `request_sent` is false only when it is certain
    that the upstream heard nothing. The text is for the log; aiohttp's
    own exception is deliberately not chained to it, because it holds the request's headers and with them the key.
    """

    def __init__(
        self, kind: FailureKind, detail: str, limit: Limit | None = None, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.retry_after_seconds = retry_after_seconds
        self.kind = kind
        self.detail = detail
        self.limit = limit

    def facts(self) -> dict[str, str]:
        """What the log line of the request says of it: `upstream_failure`, and `upstream_limit` if one was reached."""
        facts = {"upstream_failure": self.kind.value}
        return facts if self.limit is None else {**facts, "upstream_limit": self.limit}

    @property
    def request_sent(self) -> bool:
        """Whether the upstream may have heard any of the request."""
        return self.kind not in (FailureKind.REFUSED, FailureKind.UNREACHABLE)
