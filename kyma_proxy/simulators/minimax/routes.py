"""Which call does what. A path or method that is not here is the provider's plain 404."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kyma_proxy.simulators.minimax import clone, design, files, speech, voices
from kyma_proxy.simulators.minimax.state import Call, State

Result = Mapping[str, Any] | speech.SpokenStream
Operation = Callable[[State, Call], Awaitable[Result]]

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/files/upload"): files.upload,
    ("GET", "/v1/files/list"): files.list_files,
    ("GET", "/v1/files/retrieve"): files.retrieve,
    ("POST", "/v1/files/delete"): files.delete,
    ("POST", "/v1/t2a_v2"): speech.t2a_v2,
    ("POST", "/v1/voice_clone"): clone.voice_clone,
    ("POST", "/v1/voice_design"): design.voice_design,
    ("POST", "/v1/get_voice"): voices.get_voice,
    ("POST", "/v1/delete_voice"): voices.delete_voice,
}
PATHS = frozenset(path for _, path in OPERATIONS)
