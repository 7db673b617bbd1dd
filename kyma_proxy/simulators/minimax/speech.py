"""`/v1/t2a_v2`: speaks a tone as long as the text would take to read."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kyma_proxy.simulators import containers
from kyma_proxy.simulators.minimax.replies import RefusalError, success
from kyma_proxy.simulators.minimax.speech_request import AudioSetting, SpeechRequest, read_speech_request
from kyma_proxy.simulators.minimax.state import Call, State
from kyma_proxy.simulators.tone import Format

CHARS_PER_SECOND = 15
_SECONDS_MIN = 0.5
_MPEG2_KILOBITS_MAX = 160
_ECHOED_FORMATS = ("mp3", "pcm", "flac")
_TAG = b"TSSE\0\0\0\x0f\0\0\x03Lavf61.7.100\0\0"
ID3_TAG = b"ID3\x04\0\0\0\0\0" + bytes([len(_TAG)]) + _TAG
"""What an mp3 stream opens with, and a whole mp3 does not."""


@dataclass(frozen=True, slots=True)
class SpokenStream:
    """Speech that is to be streamed: the closing event holds `extra_info`, and `aggregate` if that is wanted."""

    pieces: tuple[bytes, ...]
    aggregate: bytes
    extra_info: Mapping[str, Any]
    excludes_aggregate: bool
    trace_id: str
    piece_seconds: float


async def t2a_v2(state: State, call: Call) -> Mapping[str, Any] | SpokenStream:
    """Speech as a whole reply or as a stream; the first one with a voice activates it and charges for it, once.

    A refusal has `data` null and a trace id, but a throttled caller gets the bare `base_resp`.
    """
    trace_id = secrets.token_hex(16)
    try:
        request = read_speech_request(call.json, lenient_names=state.behaviour.lenient_names)
        first_used = _first_used(state, request)
    except RefusalError as refusal:
        raise RefusalError(refusal.code, refusal.message, fields={"data": None, "trace_id": trace_id}) from refusal
    sound = await asyncio.to_thread(render, request)
    extra_info = _extra_info(request, sound)
    for voice_id in first_used & state.voices.keys():
        state.activate_voice(voice_id)
        extra_info["usage_voice_count"] = len(first_used)
    if request.stream:
        return SpokenStream(
            pieces=_pieces(request.audio, sound, state.behaviour.stream_chunk_bytes),
            aggregate=sound,
            extra_info=extra_info,
            excludes_aggregate=request.excludes_aggregate,
            trace_id=trace_id,
            piece_seconds=state.behaviour.stream_chunk_seconds,
        )
    call.progress.audio_bytes = len(sound)
    call.progress.audio_sha256 = hashlib.sha256(sound).hexdigest()
    data = {"audio": "https://cdn.example/speech.mp3?sig=0" if request.as_url else sound.hex(), "status": 2, "ced": ""}
    if request.wants_subtitles:
        data["subtitle_file"] = "https://cdn.example/subtitles.json?sig=0"
    return success({"data": data, "extra_info": extra_info, "trace_id": trace_id})


def spoken_seconds(request: SpeechRequest) -> float:
    """How long the speech lasts: 15 characters a second at speed 1, half a second at least."""
    return max(_SECONDS_MIN, len(request.text) / CHARS_PER_SECOND / request.speed)


def render(request: SpeechRequest) -> bytes:
    """The whole audio in the wanted format: a tone, but in Opus silence."""
    seconds, audio = spoken_seconds(request), request.audio
    match audio.form:
        case "mp3":
            return Format("mp3", audio.rate_hz, _kilobits(audio), audio.channels).tone(seconds)
        case "flac":
            return containers.flac_tone(seconds, audio.rate_hz, audio.channels)
        case "opus":
            return containers.ogg_opus_silence(seconds, audio.channels)
    kind = "ulaw" if audio.form.startswith("pcmu") else "pcm"
    samples = Format(kind, audio.rate_hz, 0, audio.channels).tone(seconds)
    if audio.form in ("wav", "pcmu_wav"):
        return containers.wav(samples, kind, audio.rate_hz, audio.channels)
    return samples


def _first_used(state: State, request: SpeechRequest) -> set[str]:
    """The voices of the request that were never used. Raises RefusalError for one that cannot be."""
    voices = [state.find_voice(voice_id) for voice_id in request.voice_ids]
    return {voice.voice_id for voice in voices if voice is not None and not voice.active}


def _kilobits(audio: AudioSetting) -> int:
    kilobits = audio.bitrate // 1000
    return kilobits if audio.rate_hz >= 32000 else min(kilobits, _MPEG2_KILOBITS_MAX)


def _pieces(audio: AudioSetting, sound: bytes, piece_bytes: int) -> tuple[bytes, ...]:
    streamed = ID3_TAG + sound if audio.form == "mp3" else sound
    return tuple(streamed[at : at + piece_bytes] for at in range(0, len(streamed), piece_bytes))


def _extra_info(request: SpeechRequest, sound: bytes) -> dict[str, Any]:
    audio = request.audio
    return {
        "audio_length": round(spoken_seconds(request) * 1000),
        "audio_sample_rate": audio.rate_hz,
        "audio_size": len(sound),
        "bitrate": audio.bitrate,
        "word_count": len(request.text),
        "invisible_character_ratio": request.invisible_ratio,
        "usage_characters": len(request.text),
        # Documented with three values only, though there are more formats.
        "audio_format": audio.form if audio.form in _ECHOED_FORMATS else "mp3",
        "audio_channel": audio.channels,
    }
