"""Speech over a WebSocket, and what its clients trip over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from kyma_proxy.simulators.minimax import Behaviour, MiniMaxSimulator
from kyma_proxy.simulators.minimax.socket import SOCKET_PATH

START = {
    "event": "task_start",
    "model": "speech-02-hd",
    "voice_setting": {"voice_id": "English_Graceful_Lady"},
    "audio_setting": {"format": "mp3"},
}


@asynccontextmanager
async def connected(key: str | None = None, behaviour: Behaviour | None = None) -> AsyncIterator[Any]:
    async with MiniMaxSimulator(behaviour=behaviour) as minimax, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {key or minimax.api_key}"}
        async with http.ws_connect(minimax.base_url + SOCKET_PATH, headers=headers) as socket:
            yield socket


async def spoken(socket: Any, text: str) -> list[dict[str, Any]]:
    """The pieces of one text."""
    await socket.send_json({"event": "task_continue", "text": text})
    pieces = [await socket.receive_json()]
    while not pieces[-1]["is_final"]:
        pieces.append(await socket.receive_json())
    return pieces


@pytest.mark.parametrize("unnamed", [False, True])
async def test_a_session_speaks_text_after_text_and_each_has_its_own_end(unnamed: bool) -> None:
    async with connected(behaviour=Behaviour(socket_events_unnamed=unnamed)) as socket:
        assert (await socket.receive_json())["event"] == "connected_success"
        await socket.send_json(START)
        assert (await socket.receive_json())["event"] == "task_started"
        for text in ("Mind the gap. " * 5, "Doors are closing. " * 5):
            pieces = await spoken(socket, text)
            assert len(pieces) > 1
            assert all(("event" in piece) is not unnamed for piece in pieces)
            assert pieces[-1]["extra_info"]["usage_characters"] == len(text)
            assert bytes.fromhex("".join(piece["data"]["audio"] for piece in pieces))
        await socket.send_json({"event": "task_finish"})
        assert (await socket.receive_json())["event"] == "task_finished"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(
    "events", [[START, START], [{"event": "task_continue", "text": "x"}], [{"event": "x"}], ["no json"], [7]]
)
async def test_what_is_out_of_order_ends_it(events: list[Any]) -> None:
    async with connected() as socket:
        await socket.receive_json()
        for event in events:
            await (socket.send_str(event) if isinstance(event, str) else socket.send_json(event))
        failed = await socket.receive_json()
        if failed["event"] == "task_started":
            failed = await socket.receive_json()
        assert (failed["event"], failed["base_resp"]["status_code"]) == ("task_failed", 2202)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(("text", "code"), [("", 2203), ("x" * 10_001, 2204)])
async def test_a_text_that_cannot_be_spoken_is_passed_over(text: str, code: int) -> None:
    async with connected() as socket:
        await socket.receive_json()
        await socket.send_json(START)
        await socket.receive_json()
        (skipped,) = await spoken(socket, text)
        assert (skipped["data"], skipped["base_resp"]["status_code"]) == (None, code)
        assert (await spoken(socket, "Hello."))[-1]["is_final"]


@pytest.mark.parametrize(
    ("key", "voice", "code"), [("sk-wrong", "English_Graceful_Lady", 2049), (None, "nobody", 2054)]
)
async def test_refusals_are_told_as_a_failed_task(key: str | None, voice: str, code: int) -> None:
    async with connected(key) as socket:
        first = await socket.receive_json()
        if key is None:
            await socket.send_json({**START, "voice_setting": {"voice_id": voice}})
            await socket.receive_json()
            await socket.send_json({"event": "task_continue", "text": "Hello."})
            first = await socket.receive_json()
        assert (first["event"], first["base_resp"]["status_code"]) == ("task_failed", code)
