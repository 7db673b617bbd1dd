"""Which request does what. A path or method that is not here is 404 in the envelope."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from kyma_proxy.simulators.origin import generation, listening, speech, voices
from kyma_proxy.simulators.origin.requests import Received
from kyma_proxy.simulators.origin.state import State

Operation = Callable[[State, Received], web.Response]

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/v1/audio/voices"): voices.list_voices,
    ("POST", "/v1/audio/voice-design"): voices.design,
    ("POST", "/v1/audio/speech"): speech.speak,
    ("POST", "/v1/audio/transcriptions"): listening.transcribe,
    ("POST", "/v1/audio/understand"): listening.understand,
    ("POST", "/v1/audio/music"): generation.compose,
    ("POST", "/v1/audio/sfx"): generation.make_effect,
}
METHODS: Mapping[str, str] = {path: method for method, path in OPERATIONS} | {"/v1/audio/voice-clone": "POST"}
"""The one method of each path that OPTIONS tells about."""


def find(method: str, path: str) -> Operation | None:
    """The operation of a request; HEAD is GET without the body."""
    return OPERATIONS.get(("GET" if method == "HEAD" else method, path))


def preflight(path: str) -> web.Response:
    """What a browser is told before it calls from another site; it needs no key."""
    allowed = f"{METHODS[path]}, OPTIONS"
    headers = {
        "Allow": allowed,
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": allowed,
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "86400",
    }
    return web.Response(status=204, headers=headers)
