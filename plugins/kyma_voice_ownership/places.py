"""The known places of a voice id, and what may stand there: what no reader should have to guess is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyma_proxy.api import ErrorCode, GatewayError

# Keys in folded case, because some decoders match them so. `null` may stand anywhere: it means "left out".
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "voice": ((str, dict), "a string, or an object with an `id`"),
    "voice_id": ((str,), "a string"),
    "voiceid": ((str,), "a string"),
    "voice_setting": ((dict,), "an object"),
    "timbre_weights": ((list,), "a list of objects"),
    "timber_weights": ((list,), "a list of objects"),
}


def require_voice_shapes(document: Mapping[str, Any]) -> None:
    """Wherever a voice can be named, at any depth, stands something that names one in one way.

    Raises GatewayError INVALID_REQUEST: a number or a list would be turned into an id by some readers.
    """
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                _require_shape(key, inner)
            waiting.extend(value.values())


def _require_shape(key: str, value: Any) -> None:
    folded = key.casefold()
    known = _KINDS.get(folded)
    if known is None or value is None:
        return
    kinds, wanted = known
    if not isinstance(value, kinds):
        raise _refusal(key, wanted)
    if isinstance(value, list) and not all(isinstance(each, Mapping) for each in value):
        raise _refusal(key, wanted)
    if folded == "voice" and isinstance(value, Mapping):
        for inner_key, inner in value.items():
            if inner_key.casefold() in {"id", "name"} and not isinstance(inner, str | None):
                raise _refusal(f"{key}.{inner_key}", "a string")


def _refusal(place: str, wanted: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, f"`{place[:64]}` must be {wanted}.")
