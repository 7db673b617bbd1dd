"""The simulated origin as a server: one catch-all handler around the operations, with faults on every side of it."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import ClientError, web

from kyma_proxy.simulators.faults import strike
from kyma_proxy.simulators.origin.control import add_switches
from kyma_proxy.simulators.origin.faults import Behaviour, Fault
from kyma_proxy.simulators.origin.replies import RefusalError
from kyma_proxy.simulators.origin.requests import Content, Received, read_body
from kyma_proxy.simulators.origin.routes import METHODS, find, preflight
from kyma_proxy.simulators.origin.state import Call, State
from kyma_proxy.simulators.server import SimulatorServer

_NO_FAULT = Fault()
_PIECE_BYTES = 64 * 1024
_log = structlog.get_logger("kyma_proxy.simulators")


class OriginSimulator(SimulatorServer[Call]):
    """The backend behind the gateway, on a port of its own; start and stop it, or use it in `async with`.

    Any bearer key is let in and stands for a user of its own, who starts with $100.00. `behaviour` may be assigned
    at any time.
    """

    def __init__(self, *, behaviour: Behaviour | None = None) -> None:
        # Bodies are hashed as they came over the wire, so nothing may undo their encoding.
        super().__init__(auto_decompress=False)
        self.state = State(behaviour or Behaviour())

    def __repr__(self) -> str:
        at = self.base_url if self.running else "stopped"
        return f"OriginSimulator({at}, {self.state})"

    @property
    def behaviour(self) -> Behaviour:
        """What callers find."""
        return self.state.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.state.behaviour = behaviour

    @property
    def calls(self) -> list[Call]:
        """The last 1000 calls, oldest first; each is there from its head on and tells how far it has come."""
        return list(self.state.calls)

    def inject(self, fault: Fault) -> None:
        """Let a fault happen from now on. Raises ValueError if over 100 faults wait."""
        self.state.faults.add(fault)

    def balance_micros(self, key: str) -> int:
        """What the user of an API key has left, in micro-dollars."""
        return self.state.balance_micros(key)

    def reset(self) -> None:
        """Forget everything: balances, voices, calls, faults, changed behaviour."""
        self.state.reset()

    def _app(self) -> web.Application:
        app = web.Application()
        add_switches(app, self.state)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = _arrived(request)
        self.state.calls.append(call)
        fault = self.state.faults.take(call.path) or _NO_FAULT
        try:
            reply = await self._reply(request, call, fault)
            reply.headers.setdefault("Server", self.behaviour.server)
            sent = await _send(request, reply, call, fault)
        except (ConnectionError, ClientError):
            # The caller left: the call says how far it had come, and nobody is there to be answered.
            sent = web.Response()
        _log.info("simulated_origin_call", method=call.method, target=call.target, status=call.reply_status)
        return sent

    async def _reply(self, request: web.Request, call: Call, fault: Fault) -> web.Response:
        content = await _content(request, call)
        answer = await _strike(fault, request) if fault.moment == "before" else None
        if answer is None:
            reply = self._perform(request, call, content)
            answer = await _strike(fault, request) if fault.moment == "after" else None
            answer = answer or reply
        if call.body_sha256 is None:
            answer.force_close()
        return answer

    def _perform(self, request: web.Request, call: Call, content: Content | RefusalError) -> web.Response:
        try:
            if call.method == "OPTIONS" and call.path in METHODS:
                return preflight(call.path)
            operation = find(call.method, call.path)
            if operation is None:
                raise RefusalError("not_found")
            key = _bearer_key(request)
            if isinstance(content, RefusalError):
                raise content
            fields, upload = content
            return operation(self.state, Received(key, request.query, fields, upload))
        except RefusalError as refusal:
            return refusal.response()


def _arrived(request: web.Request) -> Call:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
    target = request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1")
    return Call(request.method, target, request.path, headers)


async def _content(request: web.Request, call: Call) -> Content | RefusalError:
    """What the body holds, or why it cannot be used: that is said only to who has a key."""
    try:
        return await read_body(request, call)
    except RefusalError as refusal:
        return refusal


def _bearer_key(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise RefusalError("auth_error")
    return key.strip()


async def _strike(fault: Fault, request: web.Request) -> web.Response | None:
    answer = await strike(fault, request)
    if answer is None and fault.error_code is not None:
        return RefusalError(fault.error_code).response()
    return answer


async def _send(request: web.Request, reply: web.Response, call: Call, fault: Fault) -> web.StreamResponse:
    for name, _ in fault.headers:
        reply.headers.popall(name, None)
    for name, value in fault.headers:
        reply.headers.add(name, value)
    call.reply_status = reply.status
    if request.method == "HEAD" or reply.status in (204, 304):
        await reply.prepare(request)
        await reply.write_eof()
        call.reply_complete = True
        return reply
    return await _send_body(request, reply, call, fault)


async def _send_body(request: web.Request, reply: web.Response, call: Call, fault: Fault) -> web.StreamResponse:
    body = reply.body if isinstance(reply.body, bytes) else b""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if not reply.keep_alive and reply.keep_alive is not None:
        response.force_close()
    if fault.trickle_bytes is None:
        response.content_length = len(body)
    await response.prepare(request)
    kept = body if fault.cut_after_bytes is None else body[: fault.cut_after_bytes]
    piece_bytes = fault.trickle_bytes or _PIECE_BYTES
    for at in range(0, len(kept), piece_bytes):
        if at and fault.trickle_seconds:
            await asyncio.sleep(fault.trickle_seconds)
        await response.write(kept[at : at + piece_bytes])
        call.reply_bytes += len(kept[at : at + piece_bytes])
    if fault.cut_after_bytes is not None:
        if request.transport is not None:
            request.transport.close()
        return response
    await response.write_eof()
    call.reply_complete = True
    return response
