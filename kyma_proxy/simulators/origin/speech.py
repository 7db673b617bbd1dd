"""`POST /v1/audio/speech` with the SKUs that ElevenLabs serves."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from kyma_proxy.simulators.origin.audio import DEFAULT_FORMAT, FORMATS
from kyma_proxy.simulators.origin.replies import RefusalError, invalid
from kyma_proxy.simulators.origin.requests import Received
from kyma_proxy.simulators.origin.state import State
from kyma_proxy.simulators.tone import Format

DEFAULT_MODEL = "eleven-multilingual-v2"
MICROS_PER_CHAR: Mapping[str, int] = {
    "eleven-v3": 405,
    "eleven-multilingual-v2": 405,
    "eleven-flash-v2-5": 200,
    "eleven-turbo-v2-5": 200,
}
INPUT_CHARS_MAX = 5000
_CHARS_PER_SECOND = 15
_FRACTIONS = ("stability", "similarity_boost", "style")


def speak(state: State, received: Received) -> web.Response:
    """A tone as long as the text would take to read; billed per character of the input."""
    model = received.text("model") or DEFAULT_MODEL
    if model not in MICROS_PER_CHAR:
        raise RefusalError("not_a_tts_model")
    text = received.text("input", "text")
    if not text:
        raise invalid("input is required.")
    voice_id = received.text("voice_id", "voice")
    if not voice_id:
        raise RefusalError("voice_required")
    if len(text) > INPUT_CHARS_MAX:
        raise RefusalError("input_too_long")
    form = audio_format(received)
    _check_settings(received.fields.get("voice_settings"))
    state.check_voice(received.key, voice_id)
    bill = state.charge(received.key, model, len(text) * MICROS_PER_CHAR[model])
    sound = form.tone(max(0.5, len(text) / _CHARS_PER_SECOND))
    return web.Response(body=sound, content_type=form.content_type, headers=bill.headers(chars_billed=len(text)))


def audio_format(received: Received) -> Format:
    """The wanted output format. Raises RefusalError 400 for one that is not documented."""
    name = received.text("response_format") or DEFAULT_FORMAT
    if name not in FORMATS:
        raise invalid(f"response_format must be one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def _check_settings(settings: object) -> None:
    if settings is None:
        return
    if not isinstance(settings, dict):
        raise invalid("voice_settings must be an object.")
    for name in _FRACTIONS:
        value = settings.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise invalid(f"voice_settings.{name} must be a number from 0 to 1.")
    if not isinstance(settings.get("use_speaker_boost", False), bool):
        raise invalid("voice_settings.use_speaker_boost must be true or false.")
