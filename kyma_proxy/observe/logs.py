"""Log lines: one JSON object a line, from structlog and from the standard library alike, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from json import JSONEncoder
from typing import Any, Final, TextIO

import structlog

from kyma_proxy.clock import epoch_microseconds
from kyma_proxy.observe.lines import LineHandler

_SECRETS: Final = (
    (re.compile(r"\b(ky|sk)-[A-Za-z0-9_\-]{6,}"), r"\1-[redacted]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]{4,}"), r"\1 [redacted]"),
    # The provider's keys are JSON web tokens.
    (re.compile(r"\beyJ[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)+"), "[redacted]"),
    (re.compile(r"(://[^\s:/@]+):[^\s/@]+@"), r"\1:[redacted]@"),
)
_SECRET_NAMES: Final = frozenset(
    {"authorization", "proxy-authorization", "api_key", "api-key", "x-api-key", "password"}
)
_REDACTED: Final = "[redacted]"


def redact(value: object) -> object:
    """A copy of a value in which nothing looks like a key or a password; looks into mappings, lists and tuples."""
    if isinstance(value, str):
        return _redact_text(value) if _may_hold_a_secret(value) else value
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping):
        return {key: _REDACTED if str(key).lower() in _SECRET_NAMES else redact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(repr(value))


def _may_hold_a_secret(text: str) -> bool:
    # Nearly nothing that is logged does, and looking for these words costs a tenth of trying the patterns.
    if "ky-" in text or "sk-" in text or "eyJ" in text or "://" in text:
        return True
    lowered = text.lower()
    return "bearer" in lowered or "basic" in lowered


def _redact_text(text: str) -> str:
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class _Direct:
    """Writes a line past structlog and logging, whose way of it costs as much as everything else about a request.

    The line is the same. It is not used where anything else listens (another handler, processors of a test), nor for a
    line that may hold a secret.
    """

    def __init__(self, handler: LineHandler) -> None:
        self._handler = handler
        self._encode = JSONEncoder(default=repr, check_circular=False).encode
        self._second = 0
        self._written_second = ""

    def write(self, fields: Mapping[str, Any], event: str, logger: str) -> bool:
        """Write the line, or return False."""
        if logging.root.handlers != [self._handler] or logging.root.disabled or not self._is_configured():
            return False
        if not _SECRET_NAMES.isdisjoint(fields):
            return False
        text = self._encode({**fields, "event": event, "level": "info", "logger": logger, "time": self._time()})
        if _may_hold_a_secret(text):
            return False
        self._handler.write_soon(text)
        return True

    def _time(self) -> str:
        """The wall clock as structlog writes it; what is longer than a second is written once a second."""
        now = epoch_microseconds()
        second, microseconds = divmod(now, 1_000_000)
        if second != self._second:
            self._second = second
            self._written_second = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._written_second}.{microseconds:06d}Z"

    def _is_configured(self) -> bool:
        processors = structlog.get_config()["processors"]
        return bool(processors) and processors[-1] is structlog.stdlib.ProcessorFormatter.wrap_for_formatter


_direct: _Direct | None = None


def log_line(event: str, logger: str, fields: Mapping[str, Any]) -> None:
    """Log at level info, as `get_logger(logger).info(event, **fields)` does, but fast: for what each request logs."""
    if _direct is None or not _direct.write(fields, event, logger):
        structlog.get_logger(logger).info(event, **fields)


def configure_logging(level: str = "info", json: bool = True, stream: TextIO | None = None) -> None:
    """Send every log line of the process to `stream` (standard output by default), the standard library's too.

    `level` is a name such as `info`; with `json` false the lines are for people. May be called again, the last call
    counts. Raises ValueError for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"{level!r} is not a log level")
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared[:3], structlog.stdlib.ExtraAdder(), *shared[3:]],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redact_event, renderer],
    )
    handler = LineHandler(stream or sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    global _direct
    _direct = _Direct(handler) if json and number <= logging.INFO else None
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _redact_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _REDACTED if key.lower() in _SECRET_NAMES else redact(value) for key, value in event.items()}
