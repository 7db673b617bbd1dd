"""MiniMax's answers: one envelope, in which errors stand under HTTP 200."""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, field
from typing import Any, TypeGuard

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


def read_answer(status: int, body: bytes | bytearray) -> Answer:
    """Read an answer of any shape that was seen: the envelope, the other surfaces' error object, plain text, HTML.

    Never raises: whatever cannot be read is an error of the provider's whose outcome is unknown, unless its HTTP
    status says that nothing was done.
    """
    return _judge(status, body, _json_object(body))


def read_event(data: bytes) -> Answer:
    """Read one event of a stream, as `read_answer` does; only there a success may come without its envelope."""
    fields = _json_object(data)
    if fields is not None and fields.get("base_resp") is None and not isinstance(fields.get("error"), dict):
        return Answer(fields)
    return _judge(200, data, fields)


def audio_of(fields: dict[str, Any]) -> bytes:
    """The audio in a success, decoded; empty where there is none.

    Raises ValueError for anything but whole hexadecimal digits: a lenient decoder would cut the audio short, and in
    an answer that was not asked for, a link stands in the same field.
    """
    data = fields.get("data")
    if data is not None and not isinstance(data, dict):
        raise ValueError("it is not where it should be")
    audio = (data or {}).get("audio")
    if audio is None:
        return b""
    if not isinstance(audio, str):
        raise ValueError("it is not text")
    return binascii.unhexlify(audio)


def closes_stream(fields: dict[str, Any]) -> bool:
    """Whether this event is the last: its audio, if any, is all of it once more."""
    data = fields.get("data")
    return bool(fields.get("extra_info")) or (isinstance(data, dict) and data.get("status") == 2)


def usage_characters_of(fields: dict[str, Any]) -> int | None:
    """What the provider bills for; None if the success does not say."""
    extra = fields.get("extra_info")
    characters = extra.get("usage_characters") if isinstance(extra, dict) else None
    return characters if _is_int(characters) else None


def _judge(status: int, body: bytes | bytearray, fields: dict[str, Any] | None) -> Answer:
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


def usage_voices_of(fields: dict[str, Any]) -> int:
    """How many voices this call paid for with their first use; 0 nearly always."""
    extra = fields.get("extra_info")
    voices = extra.get("usage_voice_count") if isinstance(extra, dict) else None
    return voices if _is_int(voices) and 0 <= voices <= 1000 else 0


def files_of(fields: dict[str, Any]) -> list[tuple[int, str]]:
    """Id and name of each file in a listing; an entry that lacks one of them is left out.

    A listing with nothing in it may be null. Raises ValueError for one that is no list.
    """
    files = fields.get("files")
    if files is None:
        return []
    if not isinstance(files, list):
        raise ValueError("files is not a list")
    named: list[tuple[int, str]] = []
    for file in files:
        file_id, name = (file.get("file_id"), file.get("filename")) if isinstance(file, dict) else (None, None)
        if _is_int(file_id) and isinstance(name, str):
            named.append((file_id, name))
    return named


def _json_object(body: bytes | bytearray) -> dict[str, Any] | None:
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


def _unreadable(status: int, body: bytes | bytearray) -> Answer:
    meaning = meaning_of_status(status)
    if 200 <= status < 300:
        meaning = Meaning("an answer that is not the provider's envelope", Fault.UPSTREAM)
    return Answer({}, meaning, None, f"HTTP {status}: {_cut(body[:_MAX_MESSAGE_CHARS].decode('utf-8', 'replace'))}")


def _cut(message: object) -> str:
    """The provider's words on one line, without control characters."""
    words = message if isinstance(message, str) else ""
    return "".join(char if char.isprintable() else " " for char in words[:_MAX_MESSAGE_CHARS]).strip()


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
