"""The simulated provider as a server: one catch-all handler around the operations, faults before and after."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import structlog
from aiohttp import web

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.simulators.faults import strike
from kyma_proxy.simulators.minimax.control import add_switches, inject
from kyma_proxy.simulators.minimax.faults import Behaviour, Fault
from kyma_proxy.simulators.minimax.replies import RefusalError
from kyma_proxy.simulators.minimax.requests import JSON_BYTES_MAX, read_call
from kyma_proxy.simulators.minimax.routes import OPERATIONS, Operation, Result
from kyma_proxy.simulators.minimax.socket import SOCKET_PATH, SpeechSocket
from kyma_proxy.simulators.minimax.speech import SpokenStream
from kyma_proxy.simulators.minimax.speech_stream import (
    CallerLeftError,
    send_stream,
    spoil_whole,
    wait,
    with_placeholder,
)
from kyma_proxy.simulators.minimax.state import Call, State, StoredFile, Voice
from kyma_proxy.simulators.replies import json_response
from kyma_proxy.simulators.server import SimulatorServer

DEFAULT_API_KEY = "sk-api-simulated"
_NO_FAULT = Fault()
_log = structlog.get_logger("kyma_proxy.simulators")


class MiniMaxSimulator(SimulatorServer[Call]):
    """A MiniMax account with one API key, served on a port of its own; start and stop it, or use it in `async with`.

    What the account holds outlives `stop`, so a provider that goes away and comes back is `stop` and `start` with
    the same port. `behaviour` may be assigned at any time; `Behaviour(accept_any_key=True)` lets every key in.
    """

    def __init__(self, *, api_key: str = DEFAULT_API_KEY, behaviour: Behaviour | None = None) -> None:
        super().__init__()
        self.api_key = api_key
        self.state = State(behaviour or Behaviour())

    def __repr__(self) -> str:
        at = self.base_url if self.running else "stopped"
        return f"MiniMaxSimulator({at}, {self.state})"

    @property
    def behaviour(self) -> Behaviour:
        """How the provider behaves where the real one is known to vary."""
        return self.state.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.state.behaviour = behaviour

    @property
    def calls(self) -> list[Call]:
        """The calls that arrived, oldest first: the last 1000, fewer if their uploads are over 64 MiB."""
        return list(self.state.calls)

    @property
    def files(self) -> Mapping[int, StoredFile]:
        """The files of the account by id."""
        return self.state.files

    @property
    def voices(self) -> Mapping[str, Voice]:
        """The voices of the account by id."""
        self.state.drop_unused_voices()
        return self.state.voices

    @property
    def burned_voice_ids(self) -> frozenset[str]:
        """Ids of deleted and vanished voices, which can never be used again."""
        self.state.drop_unused_voices()
        return frozenset(self.state.burned_voice_ids)

    def inject(self, fault: Fault) -> None:
        """Let a fault happen from now on. Raises ValueError if no call has its path, or over 100 faults wait."""
        inject(self.state, fault)

    def advance(self, seconds: float) -> None:
        """Move the account's clock on."""
        self.state.advance(seconds)

    def activate_voice(self, voice_id: str) -> None:
        """Do what the first real synthesis does to a voice. Raises KeyError if there is none."""
        self.state.activate_voice(voice_id)

    def reset(self) -> None:
        """Forget everything: files, voices, burned ids, calls, faults, changed behaviour, the moved clock."""
        self.state.reset()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=JSON_BYTES_MAX)
        app.on_response_prepare.append(_add_trace_id)
        add_switches(app, self.state)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = await read_call(request)
        self.state.record(call)
        if (call.method, call.path) == ("GET", SOCKET_PATH):
            return await SpeechSocket(self.state, call).serve(request, self._authenticate)
        operation = OPERATIONS.get((call.method, call.path))
        if operation is None:
            return web.Response(status=404, text="404 page not found")
        fault = self.state.faults.take(call.path) or _NO_FAULT
        answer: web.StreamResponse | None = await _strike(fault, request) if fault.moment == "before" else None
        if answer is None:
            result = await self._perform(operation, call)
            answer = await _strike(fault, request) if fault.moment == "after" else None
            answer = answer or await _reply(request, result, fault, call)
        _log.info("simulated_minimax_call", method=call.method, path=call.path, status=answer.status)
        return answer

    async def _perform(self, operation: Operation, call: Call) -> Result:
        try:
            self._authenticate(call)
            self.state.count_call(call.path)
            self.state.drop_unused_voices()
            return await operation(self.state, call)
        except RefusalError as refusal:
            return refusal.body()

    def _authenticate(self, call: Call) -> None:
        scheme, _, key = call.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise RefusalError(1004)
        known = secrets.compare_digest(key.encode("utf-8", "surrogateescape"), self.api_key.encode())
        if self.behaviour.region_key_mismatch or not (known or self.behaviour.accept_any_key):
            raise RefusalError(2049)


async def _strike(fault: Fault, request: web.Request) -> web.Response | None:
    """The fault's own answer after its stall; None if it has none and the call goes on."""
    answer = await strike(fault, request)
    if answer is None and fault.error_code is not None and not fault.breaks_stream:
        return _refused(fault)
    return answer


def _refused(fault: Fault) -> web.Response:
    assert fault.error_code is not None
    body = RefusalError(fault.error_code, fault.error_message).body()
    return json_response(fault.change(with_placeholder(body, fault)))


async def _reply(request: web.Request, result: Result, fault: Fault, call: Call) -> web.StreamResponse:
    try:
        if isinstance(result, SpokenStream):
            return await send_stream(request, result, fault, call)
        await wait(request, fault.slow_first_byte_seconds)
    except CallerLeftError:
        call.progress.client_left_at = monotonic_seconds()
        return web.Response()
    if fault.error_code is not None:
        return _refused(fault)
    return json_response(fault.change(spoil_whole(result, fault)))


async def _add_trace_id(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Trace-Id"] = secrets.token_hex(16)
