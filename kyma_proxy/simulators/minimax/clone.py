"""`/v1/voice_clone` with every check that the provider is known to make, in the order the fields are read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from kyma_proxy.simulators.minimax.audio import duration_seconds
from kyma_proxy.simulators.minimax.replies import RefusalError, invalid_params, success
from kyma_proxy.simulators.minimax.speech_request import MODELS
from kyma_proxy.simulators.minimax.state import Call, State, StoredFile

_EXTENSIONS = ("mp3", "m4a", "wav")
_SOURCE_SECONDS_MIN, _SOURCE_SECONDS_MAX = 10, 300
# Frames are counted here; a decoder takes the encoder's delay and padding off again, some 3,000 samples at the most.
_ENCODER_DELAY_SECONDS_MAX = 0.1
_PROMPT_SECONDS_MIN, _PROMPT_SECONDS_MAX = 5, 8
_TEXT_CHARS_MAX, _VALIDATION_CHARS_MAX = 1000, 200
_VOICE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{6,254}[A-Za-z0-9]", re.ASCII)
_PUNCTUATION = tuple(".!?,;:…。！？，；：、")
_SWITCHES = ("need_noise_reduction", "need_volume_normalization", "aigc_watermark")
_PLAIN_FIELDS = {"input_sensitive": False, "input_sensitive_type": 0, "demo_audio": ""}


async def voice_clone(state: State, call: Call) -> dict[str, Any]:
    """Makes a voice under the caller's id, at the end of `clone_seconds`. The reply does not repeat the id."""
    fields = call.json
    if fields is None:
        raise invalid_params("empty field")
    source = _file(state, fields.get("file_id"), "voice_clone")
    voice_id = check_voice_id(fields.get("voice_id"), needs_digit=state.behaviour.require_digit_in_voice_id)
    _check_options(fields)
    preview = _check_preview(fields)
    await _check_source(source)
    await _check_prompt(state, fields)
    state.reserve_voice_id(voice_id)
    try:
        await asyncio.sleep(state.behaviour.clone_seconds)
        state.add_voice(voice_id, "voice_cloning")
    finally:
        state.cloning_voice_ids.discard(voice_id)
    return success(_PLAIN_FIELDS | preview)


def _file(state: State, file_id: object, purpose: str) -> StoredFile:
    """Raises RefusalError 2013 if the id is no integer, 20132 if there is no such file for this purpose."""
    if type(file_id) is not int:
        raise invalid_params("file_id")
    kept = state.files.get(file_id)
    if kept is None or kept.purpose != purpose:
        raise RefusalError(20132)
    return kept


def check_voice_id(voice_id: object, *, needs_digit: bool) -> str:
    """An id that a caller may choose. Raises RefusalError 2013 for any other value."""
    if not isinstance(voice_id, str) or not voice_id:
        raise invalid_params("voice id wrong")
    if not (voice_id[0].isascii() and voice_id[0].isalpha()):
        raise invalid_params("voice_id first character")
    if not _VOICE_ID.fullmatch(voice_id) or (needs_digit and not any(character.isdigit() for character in voice_id)):
        raise invalid_params("voice id wrong")
    return voice_id


def _check_options(fields: Mapping[str, Any]) -> None:
    for name in _SWITCHES:
        if not isinstance(fields.get(name), bool | None):
            raise invalid_params(name)
    validation, accuracy = fields.get("text_validation") or "", fields.get("accuracy") or 0
    if not isinstance(validation, str) or len(validation) > _VALIDATION_CHARS_MAX:
        raise invalid_params("text_validation")
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
        raise invalid_params("accuracy")


def _check_preview(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The reply's fields about the preview, which is made only of a `text` and needs a `model` then."""
    text, model = fields.get("text") or "", fields.get("model") or ""
    if not text:
        return {}
    if not isinstance(text, str) or len(text) > _TEXT_CHARS_MAX:
        raise invalid_params("text too long")
    if model not in MODELS:
        raise invalid_params(f"method t2a-v2 not have model: {model}")
    audio_ms = 66 * len(text)
    extra_info = {
        "audio_length": audio_ms,
        "audio_sample_rate": 32000,
        "audio_size": 16 * audio_ms,
        "bitrate": 128000,
        "word_count": len(text),
        "usage_characters": len(text),
    }
    return {"demo_audio": "https://cdn.example/demo.mp3?sig=0", "extra_info": extra_info}


async def _check_source(source: StoredFile) -> None:
    seconds = await _seconds(source)
    slack = 0 if source.filename.endswith(".wav") else _ENCODER_DELAY_SECONDS_MAX
    if not _SOURCE_SECONDS_MIN <= seconds <= _SOURCE_SECONDS_MAX + slack:
        raise RefusalError(2037)


async def _check_prompt(state: State, fields: Mapping[str, Any]) -> None:
    prompt = fields.get("clone_prompt") or {}
    if not isinstance(prompt, dict):
        raise invalid_params("clone_prompt")
    audio, text = prompt.get("prompt_audio"), prompt.get("prompt_text")
    if not audio and not text:
        if state.behaviour.require_prompt_audio:
            raise invalid_params("prompt_audio or audio_url is required")
        return
    if not audio or not isinstance(text, str) or not text.endswith(_PUNCTUATION):
        raise invalid_params("clone_prompt")
    seconds = await _seconds(_file(state, audio, "prompt_audio"))
    if seconds < _PROMPT_SECONDS_MIN:
        raise RefusalError(2037)
    if seconds >= _PROMPT_SECONDS_MAX:
        raise RefusalError(2048)


async def _seconds(kept: StoredFile) -> float:
    """Raises RefusalError 2013 over the file's name, 1000 over its bytes."""
    if kept.extension not in _EXTENSIONS:
        raise invalid_params("invalid file ext for voice clone")
    seconds = await asyncio.to_thread(duration_seconds, kept.data)
    if seconds is None:
        raise RefusalError(1000, fields=_PLAIN_FIELDS)
    return seconds
