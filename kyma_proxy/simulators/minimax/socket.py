"""`/ws/v1/t2a_v2`: speech over a WebSocket, JSON in text frames. The gateway does not use it; others' clients do.

`is_final` is per `task_continue`, not per session. With `Behaviour.socket_events_unnamed` pieces have no `event`, as
in the documents' own sample.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import WSMsgType, web

from kyma_proxy.simulators.minimax.replies import RefusalError, base_resp
from kyma_proxy.simulators.minimax.speech import t2a_v2
from kyma_proxy.simulators.minimax.speech_request import TEXT_CHARS_MAX
from kyma_proxy.simulators.minimax.state import Call, State

SOCKET_PATH: Final = "/ws/v1/t2a_v2"
IDLE_SECONDS: Final = 120.0
_HEX_CHARS: Final = 2 * 6151
IDLE, ILLEGAL_EVENT, EMPTY_TEXT, TEXT_TOO_LONG = 2201, 2202, 2203, 2204

Authenticate = Callable[[Call], None]
"""Raises RefusalError for a key that is not good."""


class SpeechSocket:
    """One connection: `connected_success`, then tasks."""

    def __init__(self, state: State, call: Call) -> None:
        self._state = state
        self._call = call
        self._socket = web.WebSocketResponse(receive_timeout=IDLE_SECONDS)
        self._task: Mapping[str, Any] | None = None
        self._trace_id = secrets.token_hex(16)

    async def serve(self, request: web.Request, authenticate: Authenticate) -> web.WebSocketResponse:
        """Speak until the client has finished, or has done what it may not."""
        await self._socket.prepare(request)
        try:
            authenticate(self._call)
            await self._say("connected_success", session_id=secrets.token_hex(8))
            async for message in self._socket:
                event = _event(message.data) if message.type is WSMsgType.TEXT else {}
                if not await self._take(event):
                    break
        except RefusalError as refusal:
            await self._fail(refusal)
        except TimeoutError:
            await self._fail(RefusalError(IDLE, "connection idle timeout"))
        await self._socket.close()
        return self._socket

    async def _take(self, event: Mapping[str, Any]) -> bool:
        """Do what an event asks; whether the connection goes on. Raises RefusalError."""
        steps: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[bool]]] = {
            "task_start": self._start,
            "task_continue": self._continue,
            "task_finish": self._finish,
        }
        step = steps.get(str(event.get("event")))
        if step is None or (self._task is None) is (step != self._start):
            raise RefusalError(ILLEGAL_EVENT, "illegal event")
        return await step(event)

    async def _start(self, event: Mapping[str, Any]) -> bool:
        self._task = {name: value for name, value in event.items() if name != "event"}
        await self._say("task_started")
        return True

    async def _continue(self, event: Mapping[str, Any]) -> bool:
        text = event.get("text")
        if not isinstance(text, str) or not text:
            await self._say("task_continued", code=EMPTY_TEXT, data=None, is_final=True)
            return True
        if len(text) > TEXT_CHARS_MAX:
            await self._say("task_continued", code=TEXT_TOO_LONG, data=None, is_final=True)
            return True
        answer = await t2a_v2(self._state, replace(self._call, json={**(self._task or {}), "text": text}))
        assert isinstance(answer, Mapping)
        audio: str = answer["data"]["audio"]
        pieces = [audio[at : at + _HEX_CHARS] for at in range(0, len(audio), _HEX_CHARS)]
        name = None if self._state.behaviour.socket_events_unnamed else "task_continued"
        for piece in pieces[:-1]:
            await self._say(name, data={"audio": piece}, is_final=False)
        await self._say(name, data={"audio": pieces[-1]}, is_final=True, extra_info=answer["extra_info"])
        return True

    async def _finish(self, _: Mapping[str, Any]) -> bool:
        await self._say("task_finished")
        return False

    async def _fail(self, refusal: RefusalError) -> None:
        await self._say("task_failed", code=refusal.code, message=refusal.message)

    async def _say(self, event: str | None, *, code: int = 0, message: str = "success", **fields: Any) -> None:
        named = {} if event is None else {"event": event}
        body = {**named, "trace_id": self._trace_id, **fields, "base_resp": base_resp(code, message)}
        await self._socket.send_str(json.dumps(body, separators=(",", ":")))


def _event(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
