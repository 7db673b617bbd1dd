"""The library's JSON: the shape of the public list of voices, with what only an owner is told."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from kyma_proxy.api import ErrorCode, Flow, GatewayError, LibraryVoice, parse_document, read_whole, rfc3339

_CATEGORIES: Final[Mapping[str, str]] = {"clone": "cloned", "design": "generated", "adopted": "cloned"}
_BODY_BYTES_MAX: Final = 64 * 1024


def voice_fields(voice: LibraryVoice) -> dict[str, Any]:
    """A voice as its owner sees it."""
    return {
        "voice_id": voice.voice_id,
        "name": voice.name,
        "category": _CATEGORIES[voice.kind],
        "labels": {},
        "preview_url": None,
        "description": None,
        "kind": voice.kind,
        "state": voice.state,
        "created_at": rfc3339(voice.created_at),
        "last_used_at": _moment(voice.last_used_at),
        "kept_alive_at": _moment(voice.kept_alive_at),
        "expires_at": _moment(voice.expires_at),
    }


def page_fields(voices: Sequence[LibraryVoice], *, has_more: bool) -> dict[str, Any]:
    """Some of an account's voices."""
    return {
        "object": "list",
        "data": [voice_fields(voice) for voice in voices],
        "has_more": has_more,
        "first_id": voices[0].voice_id if voices else None,
        "last_id": voices[-1].voice_id if voices else None,
    }


def asks_for_mine(raw_query: str | None) -> bool:
    """Whether a list is to be of the caller's own voices."""
    return ("scope", "mine") in _parameters(raw_query)


def page_wanted(raw_query: str | None, max_page: int) -> tuple[int, str | None]:
    """How many voices, and after which one. Raises GatewayError INVALID_REQUEST."""
    given: dict[str, str] = {}
    for name, value in _parameters(raw_query):
        if name in ("limit", "after"):
            if name in given:
                raise invalid(f"`{name}` is given twice.")
            given[name] = value
    limit = given.get("limit", str(max_page))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 6 and 1 <= int(limit) <= max_page):
        raise invalid(f"`limit` must be a whole number from 1 to {max_page}.")
    return int(limit), given.get("after")


def voice_id_of(flow: Flow) -> str | None:
    """The id in the path; None for what cannot be one."""
    try:
        return unquote(flow.path.rpartition("/")[2], errors="strict")
    except UnicodeDecodeError:
        return None


async def new_name(flow: Flow, max_name_chars: int) -> str | None:
    """The name in a body `{"name": …}`; a blank one is none. Raises GatewayError TOO_LARGE and INVALID_REQUEST."""
    flow.body.narrow(_BODY_BYTES_MAX)
    document = parse_document(await read_whole(flow.body))
    if "name" not in document:
        raise invalid("Send the new name: `name`, a string or null.")
    name = document["name"]
    if not isinstance(name, str | None):
        raise invalid("`name` must be a string or null.")
    if name is None or not name.strip():
        return None
    if len(name) > max_name_chars:
        raise invalid(f"`name` has {len(name)} characters. Send at most {max_name_chars}.")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise invalid("`name` has a control character in it. Send plain text.")
    return name


def to_json(fields: Mapping[str, Any]) -> bytes:
    """A body."""
    return json.dumps(fields, ensure_ascii=False).encode()


def invalid(message: str) -> GatewayError:
    """What is wrong with a request."""
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _parameters(raw_query: str | None) -> list[tuple[str, str]]:
    return parse_qsl(raw_query or "", keep_blank_values=True, max_num_fields=None)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
