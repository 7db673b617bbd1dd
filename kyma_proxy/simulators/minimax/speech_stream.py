"""Speech on the wire: server-sent events with the provider's habits, and every way in which they can be spoiled.

One JSON object per `data: ` line, a blank line after it, no event names and no `[DONE]`: after the closing event, the
one with `extra_info`, the connection is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, web

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.simulators.faults import reset_connection
from kyma_proxy.simulators.minimax.faults import Fault
from kyma_proxy.simulators.minimax.replies import RefusalError, base_resp
from kyma_proxy.simulators.minimax.speech import SpokenStream
from kyma_proxy.simulators.minimax.state import Call

PLACEHOLDER_AUDIO = b"\xff\xf3\xe4\xc4" * 8
_LOOK_SECONDS = 0.01


class CallerLeftError(Exception):
    """The caller hung up before its reply was out."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: its JSON, and the audio it adds to what was spoken."""

    body: Mapping[str, Any]
    audio: bytes = b""


async def wait(request: web.Request, seconds: float) -> None:
    """Sleep. Raises CallerLeftError as soon as the caller has hung up."""
    wake_at = monotonic_seconds() + seconds
    while (left := wake_at - monotonic_seconds()) > 0:
        await asyncio.sleep(min(left, _LOOK_SECONDS))
        if request.transport is None or request.transport.is_closing():
            raise CallerLeftError


async def send_stream(request: web.Request, spoken: SpokenStream, fault: Fault, call: Call) -> web.StreamResponse:
    """Send the events, noting in the call's progress how far they came. Raises CallerLeftError."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    response.force_close()
    digest = hashlib.sha256()
    pause_seconds = fault.chunk_stall_seconds or spoken.piece_seconds
    try:
        await response.prepare(request)
        for number, event in enumerate(events(spoken, fault)):
            await wait(request, pause_seconds if number else fault.slow_first_byte_seconds)
            if number == fault.reset_at:
                reset_connection(request)
                return response
            await _write(response, _line(event), fault.split_bytes)
            digest.update(event.audio)
            call.progress.events = number + 1
            call.progress.audio_bytes += len(event.audio)
            call.progress.audio_sha256 = digest.hexdigest()
        await response.write_eof()
    except (ConnectionError, ClientError) as error:
        raise CallerLeftError from error
    call.progress.complete = True
    return response


def events(spoken: SpokenStream, fault: Fault) -> Iterator[Event]:
    """The events of a stream as a fault leaves them."""
    all_events = [*_chunk_events(spoken, fault), _closing_event(spoken, fault)]
    if fault.breaks_stream and fault.error_code is not None and fault.error_as != "closing":
        all_events[min(fault.error_after_chunks or 0, len(all_events) - 1) :] = [_error_event(spoken, fault)]
    yield from all_events[: fault.truncate_at]


def _chunk_events(spoken: SpokenStream, fault: Fault) -> Iterator[Event]:
    for number, piece in enumerate(spoken.pieces):
        audio = spoil_hex(piece.hex(), fault) if number == 1 else piece.hex()
        body = {
            "data": {"audio": audio, "status": 1, "ced": ""},
            "trace_id": spoken.trace_id,
            "base_resp": base_resp(0, ""),
        }
        if fault.bare_chunks:
            del body["base_resp"]
        yield Event(body, piece)
        if fault.null_data:
            yield Event({"data": None, "trace_id": spoken.trace_id, "base_resp": base_resp(0, "")})


def _closing_event(spoken: SpokenStream, fault: Fault) -> Event:
    silent = spoken.excludes_aggregate and not fault.ignore_exclusion
    audio = "" if silent else spoken.aggregate.hex()
    body = {
        "data": {"audio": audio, "status": 2, "ced": ""},
        "extra_info": spoken.extra_info,
        "trace_id": spoken.trace_id,
        "base_resp": base_resp(0, "success"),
    }
    if fault.error_as == "closing" and fault.error_code is not None:
        body |= RefusalError(fault.error_code, fault.error_message).body()
        return Event(with_placeholder(body, fault))
    return Event(fault.change(body))


def _error_event(spoken: SpokenStream, fault: Fault) -> Event:
    assert fault.error_code is not None
    refusal = RefusalError(fault.error_code, fault.error_message, fields={"data": None, "trace_id": spoken.trace_id})
    return Event(with_placeholder(refusal.body(), fault))


def with_placeholder(body: Mapping[str, Any], fault: Fault) -> Mapping[str, Any]:
    """A failed reply, with audio in it if the fault wants that."""
    if not fault.placeholder_audio:
        return body
    return {**body, "data": {"audio": PLACEHOLDER_AUDIO.hex(), "status": 1, "ced": ""}}


def spoil_hex(audio: str, fault: Fault) -> str:
    """The audio's hex, broken if the fault wants that."""
    return {"odd": audio[:-1], "tail": f"{audio[:-4]}zz??"}.get(fault.bad_hex or "", audio)


def spoil_whole(body: Mapping[str, Any], fault: Fault) -> Mapping[str, Any]:
    """A whole reply as a fault leaves it."""
    data = body.get("data")
    if fault.null_data:
        return {**body, "data": None}
    if not isinstance(data, dict):
        return body
    audio = "https://cdn.example/speech.mp3?sig=1" if fault.url_audio else spoil_hex(data["audio"], fault)
    return {**body, "data": {**data, "audio": audio}}


def _line(event: Event) -> bytes:
    return f"data: {json.dumps(event.body, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def _write(response: web.StreamResponse, line: bytes, split_bytes: int | None) -> None:
    if split_bytes is None:
        await response.write(line)
        return
    for at in range(0, len(line), split_bytes):
        await response.write(line[at : at + split_bytes])
        # Its own turn of the loop, so that the pieces do not leave as one.
        await asyncio.sleep(0)
