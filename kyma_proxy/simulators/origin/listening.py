"""`POST /v1/audio/transcriptions` and `/v1/audio/understand`: billed per started minute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from kyma_proxy.money import usd_number
from kyma_proxy.simulators.origin.audio import upload_seconds
from kyma_proxy.simulators.origin.replies import Bill, invalid
from kyma_proxy.simulators.origin.requests import Received
from kyma_proxy.simulators.origin.state import State
from kyma_proxy.simulators.replies import json_response

TRANSCRIBERS: Mapping[str, tuple[str, int]] = {
    "transcribe": ("whisper-v3-turbo", 900),
    "whisper-v3-turbo": ("whisper-v3-turbo", 900),
    "transcribe-quality": ("gpt-4o-mini-transcribe-2025-12-15", 4050),
    "gpt-4o-mini-transcribe-2025-12-15": ("gpt-4o-mini-transcribe-2025-12-15", 4050),
}
"""Requested model to served model and micro-dollars per started minute."""
LISTENERS: Mapping[str, tuple[str, int]] = {
    "audio-understand": ("gemini-3-flash-audio", 648),
    "gemini-3-flash-audio": ("gemini-3-flash-audio", 648),
}
TEXT_TYPES = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}
FETCHED_SECONDS = 61.5
"""How long a recording behind `audio_url` is taken to be: nothing is fetched."""
_WORDS = ("Welcome to Kyma.", "This short recording is all that is needed.")


def transcribe(state: State, received: Received) -> web.Response:
    """Always the same two sentences, spread over the length of the recording."""
    served, micros_per_minute = _model(received, TRANSCRIBERS, "transcribe")
    reply_format = received.text("response_format") or "verbose_json"
    if reply_format not in ("json", "verbose_json", *TEXT_TYPES):
        raise invalid("response_format must be one of json, verbose_json, text, srt, vtt.")
    temperature = received.number("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        raise invalid("temperature must be from 0 to 1.")
    seconds = _heard_seconds(received)
    minutes = _started_minutes(seconds)
    bill = state.charge(received.key, served, minutes * micros_per_minute)
    if reply_format in TEXT_TYPES:
        return _as_text(reply_format, seconds, minutes, bill)
    body: dict[str, Any] = {"text": " ".join(_WORDS), "model": served}
    if reply_format == "verbose_json":
        body |= _details(seconds, received.text("language") or "en")
    return json_response(body | {"billing": {"billable_minutes": minutes, **_amounts(bill)}})


def understand(state: State, received: Received) -> web.Response:
    """An answer about a recording; the caller's `duration_sec` is believed."""
    served, micros_per_minute = _model(received, LISTENERS, "audio-understand")
    if received.upload is None or not received.upload.size:
        raise invalid("file is required.")
    question = received.text("question")
    if not (question or "").strip():
        raise invalid("question is required.")
    hint = received.number("duration_sec")
    if hint is not None and not 0 < hint <= 86_400:
        raise invalid("duration_sec must be a number of seconds.")
    seconds = hint or upload_seconds(received.upload.head, received.upload.size)
    minutes = _started_minutes(seconds)
    bill = state.charge(received.key, served, minutes * micros_per_minute)
    source = "size_estimate" if hint is None else "caller_hint"
    billing = {"duration_source": source, "duration_sec": round(seconds, 3), "billable_minutes": minutes}
    return json_response(
        {"answer": "A person welcomes the listener.", "model": served, "billing": billing | _amounts(bill)}
    )


def _model(received: Received, known: Mapping[str, tuple[str, int]], default: str) -> tuple[str, int]:
    name = received.text("model") or default
    if name not in known:
        raise invalid(f"model must be one of {', '.join(known)}.")
    return known[name]


def _heard_seconds(received: Received) -> float:
    if received.upload is not None:
        if not received.upload.size:
            raise invalid("file is empty.")
        return upload_seconds(received.upload.head, received.upload.size)
    url = received.text("audio_url")
    if url is None:
        raise invalid("Send file as multipart/form-data, or audio_url as JSON.")
    if not url.startswith("https://"):
        raise invalid("audio_url must be an https URL.")
    return FETCHED_SECONDS


def _started_minutes(seconds: float) -> int:
    return max(1, math.ceil(seconds / 60))


def _amounts(bill: Bill) -> dict[str, float]:
    return {"cost_usd": usd_number(bill.cost_micros), "balance_usd": usd_number(bill.balance_micros)}


def _spans(seconds: float) -> list[tuple[float, float, str]]:
    each = seconds / len(_WORDS)
    return [(at * each, (at + 1) * each, words) for at, words in enumerate(_WORDS)]


def _details(seconds: float, language: str) -> dict[str, Any]:
    segments = [
        {"id": number, "start": round(start, 3), "end": round(end, 3), "text": words}
        for number, (start, end, words) in enumerate(_spans(seconds))
    ]
    return {"task": "transcribe", "language": language, "duration": round(seconds, 3), "segments": segments}


def _as_text(reply_format: str, seconds: float, minutes: int, bill: Bill) -> web.Response:
    if reply_format == "text":
        text = " ".join(_WORDS) + "\n"
    else:
        mark = "," if reply_format == "srt" else "."
        cues = [f"{_clock(start, mark)} --> {_clock(end, mark)}\n{words}\n" for start, end, words in _spans(seconds)]
        numbered = [f"{number}\n{cue}" for number, cue in enumerate(cues, 1)]
        text = "\n".join(numbered) if reply_format == "srt" else "WEBVTT\n\n" + "\n".join(cues)
    headers = bill.headers(duration_sec=round(seconds, 3), billable_minutes=minutes)
    return web.Response(text=text, content_type=TEXT_TYPES[reply_format], headers=headers)


def _clock(seconds: float, mark: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{mark}{milliseconds:03d}"
