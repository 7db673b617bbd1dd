"""A tunnel between raw sockets: what goes through, how each end of it is passed on, and what a stalled side costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_proxy.flow import Reply
from kyma_proxy.observe.endings import EndReason
from kyma_proxy.server import tunnel as tunnels
from kyma_proxy.server.tunnel import Tunnel, switching_head
from tunnel_kit import Bench, Open, Peer

PIECE = bytes(range(256)) * 256
OpenTunnel = Callable[..., Awaitable[Open]]


@pytest.fixture
async def open_tunnel(serve: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenTunnel]:
    """Opens one tunnel, as `tunnel_kit.Wanted` says."""
    bench = Bench(serve)

    class Noted(Tunnel):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            bench.made.append(self)

    monkeypatch.setattr("kyma_proxy.server.writer.Tunnel", Noted)
    yield bench.open
    await bench.close()
    assert bench.problems == []


@pytest.mark.parametrize("tls", [False, True])
async def test_bytes_go_both_ways_as_they_come(open_tunnel: OpenTunnel, tls: bool) -> None:
    tunnel = await open_tunnel(behind_request=b"early", behind_answer=b"first", tls=tls)
    assert await tunnel.origin.exactly(5) == b"early"
    assert await tunnel.client.exactly(5) == b"first"
    for _ in range(3):
        await tunnel.client.send(b"\x81\x85")
        assert await tunnel.origin.exactly(2) == b"\x81\x85"
        await tunnel.origin.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await tunnel.client.exactly(18) == b"GET / HTTP/1.1\r\n\r\n"
    assert tunnel.edge.listener.in_flight == 1
    tunnel.origin.writer.close()
    assert await tunnel.client.rest() == b""
    tunnel.client.writer.close()
    record = await tunnel.ended()
    assert (record.ending.reason, record.bytes_in, record.bytes_out) == (EndReason.COMPLETED, 5 + 6, 5 + 54)
    await tunnel.edge.until(lambda: tunnel.edge.listener.connections == 0)


async def test_much_may_have_come_early(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel(behind_request=PIECE * 20, behind_answer=PIECE * 20)
    assert await tunnel.origin.exactly(len(PIECE) * 20) == PIECE * 20
    assert await tunnel.client.exactly(len(PIECE) * 20) == PIECE * 20


@pytest.mark.parametrize(("tls", "origin_tls"), [(False, False), (True, False), (False, True), (True, True)])
async def test_much_both_ways_at_once(open_tunnel: OpenTunnel, tls: bool, origin_tls: bool) -> None:
    tunnel = await open_tunnel(tls=tls, origin_tls=origin_tls)
    sent = PIECE * 64
    up, down, _, _ = await asyncio.gather(
        tunnel.origin.exactly(len(sent)),
        tunnel.client.exactly(len(sent)),
        tunnel.client.send(sent),
        tunnel.origin.send(sent),
    )
    assert up == down == sent


@pytest.mark.parametrize("first", ["client", "origin"])
async def test_an_end_in_order_closes_one_direction_and_then_the_other(open_tunnel: OpenTunnel, first: str) -> None:
    tunnel = await open_tunnel()
    here, there = (tunnel.client, tunnel.origin) if first == "client" else (tunnel.origin, tunnel.client)
    await here.send(PIECE * 16)
    here.writer.write_eof()
    assert await there.rest() == PIECE * 16
    await there.send(PIECE * 16)
    there.writer.close()
    assert await here.rest() == PIECE * 16
    assert (await tunnel.ended()).ending.reason is EndReason.COMPLETED


async def test_a_reset_by_the_client_resets_the_origin(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel()
    tunnel.client.reset()
    async with asyncio.timeout(1):
        with pytest.raises(ConnectionResetError):
            await tunnel.origin.reader.read()
    assert (await tunnel.ended()).ending.reason is EndReason.CLIENT_LEFT


@pytest.mark.parametrize(("tls", "origin_tls"), [(False, False), (True, False), (True, True)])
async def test_a_reset_by_the_origin_resets_the_client(open_tunnel: OpenTunnel, tls: bool, origin_tls: bool) -> None:
    tunnel = await open_tunnel(tls=tls, origin_tls=origin_tls)
    tunnel.origin.reset()
    async with asyncio.timeout(1):
        with pytest.raises(ConnectionResetError):
            await tunnel.client.reader.read()
    assert (await tunnel.ended()).ending.reason is EndReason.UPSTREAM_FAILED


@pytest.mark.parametrize("tls", [False, True])
async def test_an_origin_that_takes_no_notice_of_a_leaver_is_left(open_tunnel: OpenTunnel, tls: bool) -> None:
    tunnel = await open_tunnel(tls=tls)
    tunnel.client.writer.close()
    async with asyncio.timeout(1):
        assert await tunnel.origin.reader.read() == b""
    record = await tunnel.ended()
    assert record.ending.reason in ((EndReason.COMPLETED,) if tls else (EndReason.CLIENT_LEFT,))


async def test_an_origin_that_goes_on_talking_to_a_leaver_is_reset(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel()
    tunnel.client.writer.close()
    with pytest.raises(ConnectionError):
        await talk_on(tunnel.origin)
    assert (await tunnel.ended()).ending.reason is EndReason.CLIENT_LEFT


async def talk_on(peer: Peer) -> None:
    """Send until that fails."""
    async with asyncio.timeout(5):
        while True:
            await peer.send(PIECE)
            await asyncio.sleep(0.01)


async def flood(peer: Peer) -> int:
    """Send until nothing more is taken; tells how much was."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 100_000_000:
            async with asyncio.timeout(0.3):
                peer.writer.write(PIECE)
                sent += len(PIECE)
                await peer.writer.drain()
    return sent


async def fill(tunnel: Open) -> int:
    """Send to a client that does not read until something waits for it in the gateway; tells how much was sent."""
    client = tunnel.tunnel._client
    for count in range(1, 10_000):
        await tunnel.origin.send(PIECE[:8192])
        await asyncio.sleep(0)
        if client.unsent_bytes:
            await asyncio.sleep(0.05)
            if client.unsent_bytes:
                return count * 8192
    raise AssertionError("the client's side never fills")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("stalled", ["client", "origin"])
async def test_a_side_that_takes_nothing_stops_the_other_and_costs_little(
    open_tunnel: OpenTunnel, stalled: str, tls: bool
) -> None:
    tunnel = await open_tunnel(tls=tls)
    reader, writer = (tunnel.client, tunnel.origin) if stalled == "client" else (tunnel.origin, tunnel.client)
    sent = await flood(writer)
    assert sent < 100_000_000
    sides = (tunnel.tunnel._client, tunnel.tunnel._upstream)
    await tunnel.edge.until(lambda: [side.held for side in sides] == [stalled == "origin", stalled == "client"])
    assert 0 < sum(side.unsent_bytes for side in sides) < 512 * 1024
    assert await reader.exactly(sent) == PIECE * (sent // len(PIECE))
    await reader.send(b"still there")
    assert await writer.exactly(11) == b"still there"


async def test_a_client_that_is_not_read_and_resets_is_noticed(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel()
    await flood(tunnel.client)
    tunnel.client.reset()
    record = await tunnel.ended()
    assert record.ending.reason is EndReason.CLIENT_LEFT
    with pytest.raises(ConnectionResetError):
        await tunnel.origin.rest()


async def test_an_end_that_is_passed_on_to_a_client_reset_a_moment_ago(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel()
    await flood(tunnel.client)
    tunnel.client.reset()
    tunnel.origin.writer.write_eof()
    assert (await tunnel.ended()).ending.reason is EndReason.CLIENT_LEFT


@pytest.mark.parametrize("tls", [False, True])
async def test_a_slow_reader_gets_the_end_of_it(
    open_tunnel: OpenTunnel, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnels, "_HALF_CLOSED_SECONDS", 0.1)
    monkeypatch.setattr(tunnels, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", 0.2)
    tunnel = await open_tunnel(tls=tls)
    sent = await fill(tunnel)
    tunnel.origin.writer.close()
    await tunnel.edge.until(lambda: tunnel.tunnel._upstream.said_all)
    await asyncio.sleep(0.4)
    got = bytearray()
    async with asyncio.timeout(10):
        while piece := await tunnel.client.reader.read(1 << 20):
            got += piece
            await asyncio.sleep(0.001)
    assert len(got) == sent
    assert (await tunnel.ended()).ending.reason is EndReason.COMPLETED


async def test_a_tunnel_in_which_nobody_speaks_is_closed(open_tunnel: OpenTunnel) -> None:
    tunnel = await open_tunnel(idle_seconds=0.5)
    assert await tunnel.client.rest() == b""
    assert await tunnel.origin.rest() == b""
    assert (await tunnel.ended()).ending.reason is EndReason.IDLE


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_that_takes_nothing_for_too_long_is_reset(open_tunnel: OpenTunnel, tls: bool) -> None:
    tunnel = await open_tunnel(idle_seconds=0.5, tls=tls)
    await flood(tunnel.origin)
    tunnel.origin.writer.write_eof()
    assert (await tunnel.ended()).ending.reason is EndReason.TIMED_OUT
    with pytest.raises(ConnectionResetError):
        await tunnel.client.rest()


async def test_a_tunnel_in_which_one_side_speaks_goes_on(open_tunnel: OpenTunnel) -> None:
    limits = {"connect_seconds": 0.5, "first_byte_seconds": 0.5, "idle_seconds": 0.05, "total_seconds": 0.5}
    tunnel = await open_tunnel(idle_seconds=0.6, timeouts=limits)
    for _ in range(8):
        await asyncio.sleep(0.1)
        await tunnel.origin.send(b"x")
    assert await tunnel.client.exactly(8) == b"x" * 8
    assert not tunnel.edge.records


@pytest.mark.parametrize("end", ["closed", "reset"])
async def test_an_origin_that_ends_right_behind_its_answer(open_tunnel: OpenTunnel, end: str) -> None:
    def then(origin: Peer) -> None:
        if end == "closed":
            origin.writer.close()
        else:
            asyncio.get_running_loop().call_later(0.05, origin.reset)

    tunnel = await open_tunnel(behind_answer=b"last words", then=then)
    assert await tunnel.client.exactly(10) == b"last words"
    if end == "closed":
        assert await tunnel.client.rest() == b""
        tunnel.client.writer.close()
    else:
        with pytest.raises(ConnectionResetError):
            await tunnel.client.rest()
    assert (await tunnel.ended()).ending.reason is (
        EndReason.COMPLETED if end == "closed" else EndReason.UPSTREAM_FAILED
    )


@pytest.mark.parametrize("tls", [False, True])
async def test_a_drain_waits_for_a_tunnel_and_a_stop_closes_it(open_tunnel: OpenTunnel, tls: bool) -> None:
    tunnel = await open_tunnel(tls=tls)
    assert not await tunnel.edge.listener.drain(0.2)
    await tunnel.client.send(b"still there")
    assert await tunnel.origin.exactly(11) == b"still there"
    await tunnel.edge.listener.stop()
    assert await tunnel.client.rest() == b""
    assert await tunnel.origin.rest() == b""
    assert (await tunnel.ended()).ending.reason is EndReason.DRAINED
    assert tunnel.edge.listener.connections == 0


def test_the_head_of_a_101_can_forge_no_other() -> None:
    reply = Reply(101, CIMultiDict({"Upgrade": "websocket\r\nX: y"}))
    with pytest.raises(ValueError, match="control character"):
        switching_head(reply)
