"""Reads an HTTP request into a Call, within bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from aiohttp import BodyPartReader, web

from kyma_proxy.simulators.minimax.files import FILE_BYTES_MAX
from kyma_proxy.simulators.minimax.state import Call

JSON_BYTES_MAX = 1024 * 1024
FORM_BYTES_MAX = 64 * 1024 * 1024
_FIELD_BYTES_MAX = 64 * 1024
_PARTS_MAX = 20
_CHUNK_BYTES = 256 * 1024


async def read_call(request: web.Request) -> Call:
    """The call a request makes. A body that is not what its type says leaves `json` None or the form's fields out.

    Raises aiohttp's 413 for JSON over 1 MiB and forms over 64 MiB; a file over the provider's own limit is counted
    and thrown away, so that the provider's words about it can be said.
    """
    call = Call(request.method, request.path, dict(request.query), request.headers)
    if request.content_type == "multipart/form-data":
        return await _read_form(request, call)
    return replace(call, json=_json_object(await request.read()))


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


async def _read_form(request: web.Request, call: Call) -> Call:
    fields: dict[str, str] = {}
    filename, upload, upload_bytes = None, bytearray(), 0
    try:
        form = await request.multipart()
        for _ in range(_PARTS_MAX):
            if (part := await form.next()) is None:
                break
            if not isinstance(part, BodyPartReader):
                return call
            if part.filename is None:
                content, _ = await _read_part(part, _FIELD_BYTES_MAX)
                fields[part.name or ""] = content.decode("utf-8", "replace")
            elif part.name == "file":
                filename = part.filename
                upload, upload_bytes = await _read_part(part, FILE_BYTES_MAX)
    except ValueError:
        return call
    return replace(call, fields=fields, filename=filename, upload=bytes(upload), upload_bytes=upload_bytes)


async def _read_part(part: BodyPartReader, kept_bytes_max: int) -> tuple[bytearray, int]:
    """The part's bytes, none of them if they are more than is kept, and how many there were."""
    kept, count = bytearray(), 0
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        count += len(chunk)
        if count > FORM_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(FORM_BYTES_MAX, count)
        if count > kept_bytes_max:
            kept.clear()
        else:
            kept += chunk
    return kept, count
