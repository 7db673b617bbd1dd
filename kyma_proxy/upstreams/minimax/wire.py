"""MiniMax's answers: one envelope, in which errors stand under HTTP 200."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from kyma_proxy.upstreams.minimax.errors import Fault, Meaning, meaning_of, meaning_of_status

MAX_ANSWER_BYTES = 1024 * 1024
"""Far above any answer of the calls made here; what is longer is not one of them."""

_MAX_MESSAGE_CHARS = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read. `fields` is the JSON object of a success; otherwise `meaning` says what went wrong."""

    fields: dict[str, Any] = field(default_factory=dict)
    meaning: Meaning | None = None
    code: int | None = None
    """The provider's own code; None where there was none to read."""
    message: str = ""
    """For the log: the provider's words, cut to a sensible length."""


def read_answer(status: int, body: bytes) -> Answer:
    """Read an answer of any shape that was seen: the envelope, the other surfaces' error object, plain text, HTML.

    Never raises: whatever cannot be read is an error of the provider's whose outcome is unknown, unless its HTTP
    status says that nothing was done.
    """
    fields = _json_object(body)
    if fields is None:
        return _unreadable(status, body)
    envelope = fields.get("base_resp")
    if isinstance(envelope, dict) and _is_int(envelope.get("status_code")):
        return _enveloped(status, fields, envelope)
    error = fields.get("error")
    if isinstance(error, dict):
        return _other_surface(status, error)
    return _unreadable(status, body)


def file_id_of(fields: dict[str, Any]) -> int | None:
    """The 64-bit id of an uploaded file, exact; None if the answer does not carry one."""
    file = fields.get("file")
    file_id = file.get("file_id") if isinstance(file, dict) else None
    return file_id if _is_int(file_id) else None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _enveloped(status: int, fields: dict[str, Any], envelope: dict[str, Any]) -> Answer:
    code: int = envelope["status_code"]
    message = _cut(envelope.get("status_msg"))
    if code != 0:
        return Answer(fields, meaning_of(code), code, message)
    if not 200 <= status < 300:
        return Answer(fields, meaning_of_status(status), None, message or f"HTTP {status}")
    return Answer(fields)


def _other_surface(status: int, error: dict[str, Any]) -> Answer:
    """`{"type":"error","error":{"type","message","http_code"}}`, with a real HTTP status or `http_code` for it."""
    if 200 <= status < 300:
        http_code = str(error.get("http_code", ""))
        status = int(http_code) if http_code.isascii() and http_code.isdigit() and len(http_code) == 3 else 500
    return Answer({}, meaning_of_status(status), None, _cut(error.get("message")) or f"HTTP {status}")


def _unreadable(status: int, body: bytes) -> Answer:
    meaning = meaning_of_status(status)
    if 200 <= status < 300:
        meaning = Meaning("an answer that is not the provider's envelope", Fault.UPSTREAM)
    return Answer({}, meaning, None, f"HTTP {status}: {_cut(body.decode('utf-8', 'replace'))}")


def _cut(message: object) -> str:
    """The provider's words on one line, without control characters."""
    words = message if isinstance(message, str) else ""
    return "".join(char if char.isprintable() else " " for char in words[:_MAX_MESSAGE_CHARS]).strip()


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
