"""What a client is told when the provider does not speak.

Never the provider's own words, and never its 401 or 402: those are about our key and our balance there, not about the
client's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax.errors import (
    INVALID_PARAMETERS,
    VOICE_ID_TAKEN,
    VOICE_ID_UNKNOWN,
    Fault,
    Meaning,
    refuses_voice,
)
from kyma_proxy.upstreams.minimax.wire import Answer

RETRY_AFTER_SECONDS = 5
"""What a throttled client is told to wait; what the public API announces."""

_Refusal = tuple[ErrorCode, str]
# One and the same for every cause, so that nobody learns which ids exist.
_NO_SUCH_VOICE: _Refusal = (
    ErrorCode.VOICE_NOT_FOUND,
    "There is no such voice: the speech provider does not know it, or has deleted it because it was not used in time.",
)
_BAD_RECORDING: _Refusal = (ErrorCode.INVALID_REQUEST, "The speech provider does not accept the voice's recording.")
_FAILED: _Refusal = (ErrorCode.PROVIDER_ERROR, "The speech provider failed; nothing was spoken.")
_TOO_SLOW: _Refusal = (ErrorCode.UPSTREAM_TIMEOUT, "The speech provider did not answer in time.")

_BY_CODE: Mapping[int, _Refusal] = MappingProxyType(
    {
        1001: _TOO_SLOW,
        1026: (ErrorCode.CONTENT_POLICY, "The speech provider refuses to speak the content of `input`."),
        1027: (ErrorCode.CONTENT_POLICY, "The speech provider refuses the content of what it would have spoken."),
        1042: (ErrorCode.INVALID_REQUEST, "Over a tenth of `input` is invisible or illegal characters."),
        1043: _BAD_RECORDING,
        1044: _BAD_RECORDING,
        20132: _NO_SUCH_VOICE,
        2037: _BAD_RECORDING,
        VOICE_ID_TAKEN: (ErrorCode.VOICE_TAKEN, "The speech provider says that the voice id is taken."),
        2042: _NO_SUCH_VOICE,
        2048: _BAD_RECORDING,
        VOICE_ID_UNKNOWN: _NO_SUCH_VOICE,
    }
)
# The provider's word for a parameter, and the public field that became it; the first that fits.
_FIELDS = (
    ("speed", "speed"),
    ("emotion", "emotion"),
    ("pitch", "pitch"),
    ("language", "language_boost"),
    ("vol", "volume"),
    ("timbre", "timbre_weights"),
    ("timber", "timbre_weights"),
    ("sample_rate", "response_format"),
    ("bitrate", "response_format"),
    ("format", "response_format"),
    ("text", "input"),
)


def as_said_of_speech(answer: Answer) -> Answer:
    """A failure with what it means here: a model that the provider does not know stands in our own configuration."""
    about_the_model = "model" in answer.message.lower() and not refuses_voice(answer.message)
    if answer.code == INVALID_PARAMETERS and about_the_model:
        return replace(answer, meaning=Meaning("the provider has no such model; see `models`", Fault.OPERATOR))
    return answer


def refusal_of(answer: Answer) -> GatewayError:
    """What the client is told of a failure that `as_said_of_speech` has seen."""
    assert answer.meaning is not None
    if answer.meaning.fault is Fault.CAPACITY:
        return GatewayError(
            ErrorCode.RATE_LIMITED,
            "The speech provider takes no more at this moment.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if answer.code == INVALID_PARAMETERS and answer.meaning.fault is Fault.CLIENT:
        return GatewayError(*_refused_parameter(answer.message))
    return GatewayError(*_BY_CODE.get(answer.code or 0, _FAILED))


def failure_of(failure: TransportError) -> GatewayError:
    """What the client is told when the exchange with the provider failed; safe to repeat only if it was refused."""
    if failure.kind is FailureKind.SILENT:
        return GatewayError(*_TOO_SLOW)
    return GatewayError(*_FAILED, should_retry=failure.kind is FailureKind.REFUSED)


def no_such_voice() -> GatewayError:
    """What the client is told of a voice id that names no voice, whoever found out."""
    return GatewayError(*_NO_SUCH_VOICE)


def no_account() -> GatewayError:
    """What the client is told of a voice of whose account we have no key: only the operator can put that right."""
    return GatewayError(*_FAILED)


def unusable() -> GatewayError:
    """What the client is told of an answer that is called a success and has no whole audio in it."""
    return GatewayError(ErrorCode.PROVIDER_ERROR, "The speech provider's audio is unusable.")


def _refused_parameter(message: str) -> _Refusal:
    if refuses_voice(message):
        return _NO_SUCH_VOICE
    field = next((field for word, field in _FIELDS if word in message.lower()), None)
    what = "a value of this request" if field is None else f"the value of `{field}`"
    return ErrorCode.INVALID_REQUEST, f"The speech provider does not accept {what}."
