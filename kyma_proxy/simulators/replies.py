"""JSON as simulated upstreams write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


def encode(body: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8; integers keep all their digits, half a surrogate pair becomes `?`."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def json_response(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """A reply of compact JSON; its Content-Type names no charset."""
    return web.Response(status=status, body=encode(body), content_type="application/json")
