"""Every request ends with one reason, and with who or what brought it about: in the log line and in the metric."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from e2e_kit.raw_edge import PATH, Edge, EdgeOptions, raw_edge, request
from e2e_kit.wire import Wire
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.observe.endings import WORDS, EndReason

SPEECH = b"/v1/audio/speech"
PARTIAL = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"

Act = Callable[[Edge], Awaitable[None]]


class Lines:
    """The request lines of a gateway's log, and its counts of endings."""

    def __init__(self, edge: Edge, log: list[Any]) -> None:
        self._edge = edge
        self._log = log

    async def ended(self) -> tuple[str, str | None]:
        """Reason and `by` of the only request so far, once it has ended; the metric says the same."""
        async with asyncio.timeout(10):
            while not (lines := [line for line in self._log if line["event"] == "request"]):
                await asyncio.sleep(0.01)
        (line,) = lines
        assert self._counted() == {(line["reason"], line["by"] or ""): 1}
        return line["reason"], line["by"]

    def _counted(self) -> Mapping[tuple[str, str], float]:
        metrics = self._edge.application.metrics.registry.collect()
        samples = [sample for metric in metrics for sample in metric.samples]
        ended = [sample for sample in samples if sample.name == "kyma_requests_ended_total"]
        return {(each.labels["reason"], each.labels["by"]): each.value for each in ended if each.value}


@pytest.fixture
def gateway(database_target: DatabaseTarget, tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def start(options: EdgeOptions) -> AsyncIterator[tuple[Edge, Lines]]:
        async with raw_edge(database_target, tmp_path, options) as edge:
            with capture_logs() as log:
                yield edge, Lines(edge, log)  # type: ignore[arg-type]

    return start


async def send(edge: Edge, data: bytes) -> Wire:
    wire = await edge.connect()
    await wire.send(data)
    return wire


async def answer_with(edge: Edge, script: Callable[[Wire], Awaitable[None]]) -> None:
    """Have the origin do this once it has a request's head, and ask it for something."""

    async def serve(wire: Wire) -> None:
        await wire.head()
        await script(wire)

    edge.origin.script = serve
    await (await send(edge, request(b"Connection: close"))).ended()


async def silent(_wire: Wire) -> None:
    await asyncio.sleep(10)


async def complete(edge: Edge) -> None:
    await edge.ask()


async def fail_at_the_origin(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    await edge.ask()


async def send_no_host(edge: Edge) -> None:
    await (await send(edge, b"GET %s HTTP/1.1\r\n\r\n" % PATH)).rest()


async def break_the_framing(edge: Edge) -> None:
    sent = request(b"Transfer-Encoding: chunked", method=b"POST") + b"2\r\nok\r\nx\r\n"
    await (await send(edge, sent)).rest()


async def ask_elsewhere(edge: Edge) -> None:
    await edge.ask(target=b"/v1/chat")


async def ask_without_key(edge: Edge) -> None:
    await edge.ask(b"Content-Length: 0", method=b"POST", target=SPEECH)


async def send_a_long_line(edge: Edge) -> None:
    await (await send(edge, request(b"X: " + b"y" * 70_000))).rest()


async def send_a_large_body(edge: Edge) -> None:
    key = b"Authorization: Bearer " + edge.api_key.encode()
    await edge.ask(key, b"Content-Length: 99999999", method=b"POST", target=SPEECH)


async def send_half_a_head(edge: Edge) -> None:
    await (await send(edge, b"GET / HT")).rest()


async def send_half_a_body(edge: Edge) -> None:
    await (await send(edge, request(b"Content-Length: 10", method=b"POST") + b"half")).rest()


async def begin_and_be_silent(wire: Wire) -> None:
    await wire.head()
    await wire.send(PARTIAL)
    await silent(wire)


async def stall_in_the_body_within_the_answer(edge: Edge) -> None:
    edge.origin.script = begin_and_be_silent
    await (await send(edge, request(b"Content-Length: 10", method=b"POST") + b"half")).ended()


async def break_the_framing_within_the_answer(edge: Edge) -> None:
    edge.origin.script = begin_and_be_silent
    wire = await send(edge, request(b"Transfer-Encoding: chunked", method=b"POST") + b"2\r\nok\r\n")
    await wire.head()
    await wire.send(b"x\r\n")
    await wire.ended()


async def wait_for_the_first_byte(edge: Edge) -> None:
    await answer_with(edge, silent)


async def wait_within_the_answer(edge: Edge) -> None:
    async def begin(wire: Wire) -> None:
        await wire.send(PARTIAL)
        await silent(wire)

    await answer_with(edge, begin)


async def trickle(edge: Edge) -> None:
    async def drip(wire: Wire) -> None:
        await wire.send(PARTIAL)
        for _ in range(40):
            await asyncio.sleep(0.05)
            await wire.send(b".")

    await answer_with(edge, drip)


async def leave_in_body(edge: Edge) -> None:
    wire = await send(edge, request(b"Content-Length: 10", method=b"POST") + b"half")
    await asyncio.sleep(0.2)
    wire.close()


async def leave_before_answer(edge: Edge) -> None:
    edge.origin.script = silent
    wire = await send(edge, request())
    await asyncio.sleep(0.2)
    wire.close()


async def leave_in_answer(edge: Edge) -> None:
    async def begin(wire: Wire) -> None:
        await wire.head()
        await wire.send(PARTIAL)
        await silent(wire)

    edge.origin.script = begin
    wire = await send(edge, request())
    await wire.head()
    wire.close()


async def ask_nobody(edge: Edge) -> None:
    await edge.origin.stop()
    await edge.ask()


async def be_hung_up_on(edge: Edge) -> None:
    async def hang_up(wire: Wire) -> None:
        wire.close()

    await answer_with(edge, hang_up)


async def be_broken_off(edge: Edge) -> None:
    async def break_off(wire: Wire) -> None:
        await wire.send(PARTIAL)

    await answer_with(edge, break_off)


async def ask_without_database(edge: Edge) -> None:
    await edge.application.database.stop()
    key = b"Authorization: Bearer ky-unknown"
    await edge.ask(key, b"Content-Length: 0", method=b"POST", target=SPEECH)


async def fall_silent_in_a_websocket(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    asked = request(b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: x")
    await (await send(edge, asked)).rest()


QUICK = "head_timeout_seconds: 0.3, body_idle_timeout_seconds: 0.3"
LIMITS = "timeouts: {{{}: 0.3}}"


@pytest.mark.parametrize(
    ("act", "ending", "options"),
    [
        (complete, ("completed", None), EdgeOptions()),
        (fail_at_the_origin, ("completed", None), EdgeOptions()),
        (send_no_host, ("malformed", None), EdgeOptions()),
        (break_the_framing, ("malformed", None), EdgeOptions()),
        (ask_elsewhere, ("refused", "gateway"), EdgeOptions()),
        (ask_without_key, ("refused", "api_key_auth"), EdgeOptions()),
        (send_a_long_line, ("limited", "head_bytes"), EdgeOptions()),
        (send_a_large_body, ("limited", "body_bytes"), EdgeOptions()),
        (send_half_a_head, ("timed_out", "client_head"), EdgeOptions(server=QUICK)),
        (send_half_a_body, ("timed_out", "client_body"), EdgeOptions(server=QUICK)),
        (stall_in_the_body_within_the_answer, ("timed_out", "client_body"), EdgeOptions(server=QUICK)),
        (break_the_framing_within_the_answer, ("malformed", None), EdgeOptions()),
        (wait_for_the_first_byte, ("timed_out", "upstream_first_byte"), LIMITS.format("first_byte_seconds")),
        (wait_within_the_answer, ("timed_out", "upstream_idle"), LIMITS.format("idle_seconds")),
        (trickle, ("timed_out", "upstream_total"), LIMITS.format("total_seconds")),
        (leave_in_body, ("client_left", "in_body"), EdgeOptions()),
        (leave_before_answer, ("client_left", "before_answer"), EdgeOptions()),
        (leave_in_answer, ("client_left", "in_answer"), EdgeOptions()),
        (ask_nobody, ("upstream_failed", "refused"), EdgeOptions()),
        (be_hung_up_on, ("upstream_failed", "broken"), EdgeOptions()),
        (be_broken_off, ("upstream_failed", "broke_off"), EdgeOptions()),
        (ask_without_database, ("unavailable", "database"), EdgeOptions()),
        (fall_silent_in_a_websocket, ("idle", None), "websocket_idle_seconds: 0.3"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
@pytest.mark.parametrize("handler_cancellation", [False, True])
async def test_what_ended_a_request(
    gateway: Any, act: Act, ending: tuple[str, str | None], options: EdgeOptions | str, handler_cancellation: bool
) -> None:
    chosen = EdgeOptions(origin=options) if isinstance(options, str) else options
    chosen = EdgeOptions(chosen.server, chosen.origin, chosen.base_path, handler_cancellation)
    async with gateway(chosen) as (edge, lines):
        await act(edge)
        assert await lines.ended() == ending


async def test_a_crash_names_its_plugin(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("kyma_voice_ownership.plugin.VoiceOwnership.handle", crash)
    async with gateway(EdgeOptions()) as (edge, lines):
        key = b"Authorization: Bearer " + edge.api_key.encode()
        await edge.ask(key, b"Content-Length: 0", method=b"POST", target=SPEECH)
        assert await lines.ended() == ("plugin_crashed", "voice_ownership")


async def test_what_outlives_the_drain_is_drained(gateway: Any) -> None:
    async def begin(wire: Wire) -> None:
        await wire.head()
        await wire.send(PARTIAL)
        await silent(wire)

    async with gateway(EdgeOptions()) as (edge, lines):
        edge.origin.script = begin
        wire = await send(edge, request())
        await wire.head()
        await edge.application.stop()
        assert await lines.ended() == ("drained", None)


async def test_a_stream_that_ends_within_the_drain_is_complete(gateway: Any) -> None:
    released = asyncio.Event()

    async def begin(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nso")
        await released.wait()
        await wire.send(b"me")

    async with gateway(EdgeOptions()) as (edge, lines):
        edge.origin.script = begin
        wire = await send(edge, request())
        await wire.head()
        stopping = asyncio.ensure_future(edge.application.stop())
        await asyncio.sleep(0.2)
        released.set()
        assert await wire.rest() == b"some"
        await stopping
        assert await lines.ended() == ("completed", None)


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(EndReason)
