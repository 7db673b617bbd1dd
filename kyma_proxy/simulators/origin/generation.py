"""`POST /v1/audio/music` and `/v1/audio/sfx`: audio bytes, or JSON about a stored file with `?save_to_blob=1`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from aiohttp import web

from kyma_proxy.money import usd_number
from kyma_proxy.simulators.origin.replies import Bill, RefusalError, invalid
from kyma_proxy.simulators.origin.requests import Received
from kyma_proxy.simulators.origin.speech import audio_format
from kyma_proxy.simulators.origin.state import State
from kyma_proxy.simulators.replies import json_response
from kyma_proxy.simulators.tone import Format

ELEVENLABS_MUSIC = "elevenlabs-music"
MUSIC_MICROS_PER_SECOND = 135_000
SONG_MICROS: Mapping[str, int] = {"minimax-music": 30_000, "minimax-music-pro": 150_000}
"""MiniMax's songs cost a flat amount that is not published: these stand in for it."""
SFX_MODEL = "elevenlabs-sfx"
SFX_MICROS = 27_000
_DEFAULT_MUSIC_MS = 30_000
_DEFAULT_SFX_SECONDS = 5.0
_LYRICS_CHARS_MAX = 3000


def compose(state: State, received: Received) -> web.Response:
    """Music of the wanted length; ElevenLabs bills by the second, MiniMax by the song."""
    model = received.text("model") or ELEVENLABS_MUSIC
    if model != ELEVENLABS_MUSIC and model not in SONG_MICROS:
        raise RefusalError("not_a_music_model")
    _prompt(received, 2000, "prompt")
    if len(received.text("lyrics") or "") > _LYRICS_CHARS_MAX:
        raise invalid(f"lyrics is over {_LYRICS_CHARS_MAX} characters.")
    length_ms = received.number("music_length_ms", "duration_ms")
    length_ms = _DEFAULT_MUSIC_MS if length_ms is None else length_ms
    if not 1000 <= length_ms <= 300_000:
        raise RefusalError("invalid_duration", "music_length_ms must be from 1000 to 300000.")
    form = audio_format(received)
    cost = SONG_MICROS.get(model, round(length_ms * MUSIC_MICROS_PER_SECOND / 1000))
    bill = state.charge(received.key, model, cost)
    return _generated(received, form, length_ms / 1000, bill)


def make_effect(state: State, received: Received) -> web.Response:
    """A sound effect at a flat price."""
    if received.text("model") not in (None, SFX_MODEL):
        raise RefusalError("not_an_sfx_model")
    _prompt(received, 500, "prompt", "text")
    seconds = received.number("duration_seconds")
    seconds = _DEFAULT_SFX_SECONDS if seconds is None else seconds
    if not 0.5 <= seconds <= 22:
        raise RefusalError("invalid_duration", "duration_seconds must be from 0.5 to 22.")
    influence = received.number("prompt_influence")
    if influence is not None and not 0 <= influence <= 1:
        raise invalid("prompt_influence must be from 0 to 1.")
    form = audio_format(received)
    return _generated(received, form, seconds, state.charge(received.key, SFX_MODEL, SFX_MICROS))


def _prompt(received: Received, chars_max: int, *names: str) -> None:
    prompt = received.text(*names)
    if not (prompt or "").strip():
        raise invalid("prompt is required.")
    if len(prompt or "") > chars_max:
        raise RefusalError("prompt_too_long", f"prompt is over {chars_max} characters.")


def _generated(received: Received, form: Format, seconds: float, bill: Bill) -> web.Response:
    if received.query.get("save_to_blob") != "1":
        headers = bill.headers(duration_sec=f"{seconds:g}")
        return web.Response(body=form.tone(seconds), content_type=form.content_type, headers=headers)
    job_id = f"job_{secrets.token_hex(12)}"
    return json_response(
        {
            "object": "audio.generation",
            "job_id": job_id,
            "kind": "audio",
            "url": f"https://files.example/audio/{job_id}.{form.kind}",
            "duration_sec": seconds,
            "cost_usd": usd_number(bill.cost_micros),
            "balance_usd": usd_number(bill.balance_micros),
        }
    )
