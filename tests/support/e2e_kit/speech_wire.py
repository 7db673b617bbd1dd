"""Speech requests as bytes on the wire, and the voices and the key that attempts are made with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

SPEECH = "/v1/audio/speech"
FORWARDED, AT_MINIMAX = "eleven-multilingual-v2", "minimax-speech-hd"
JSON = "Content-Type: application/json"


@dataclass(frozen=True, slots=True)
class Names:
    """The voices and the key an attempt is made with: `own` is the caller's, the others are not to be used by it."""

    key: str
    own: str
    minted: str
    adopted: str
    revoked: str
    pending: str


def post(names: Names, body: bytes, *headers: str, target: str = SPEECH, method: str = "POST") -> bytes:
    """A request with a key, a length and whatever else."""
    return head(method, target, f"Authorization: Bearer {names.key}", f"Content-Length: {len(body)}", *headers) + body


def head(method: str, target: str, *headers: str, version: str = "1.1") -> bytes:
    """A request's head; the connection ends with it."""
    lines = [f"{method} {target} HTTP/{version}", "Host: gateway", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def body_of(**fields: Any) -> bytes:
    """A speech request's body."""
    return json.dumps({"model": FORWARDED, "input": "Hello.", **fields}).encode()
