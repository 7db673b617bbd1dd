from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.observe.endings import DRAINED
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.observe.requests import RequestObserver
from kyma_proxy.server.listener import DataListener
from kyma_proxy.server.options import ListenerOptions

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_in_flight_is_counted(serve) -> None:
    go = asyncio.Event()

    async def handle(flow: Flow) -> Reply:
        await go.wait()
        return Reply(200)

    edge = await serve(handle)
    clients = [await edge.connect() for _ in range(3)]
    for client in clients:
        await client.send(GET)
    await edge.until(lambda: edge.listener.in_flight == 3)
    assert repr(edge.listener) == "DataListener(in_flight=3, connections=3)"
    go.set()
    for client in clients:
        assert (await client.answer()).status == 200
    await edge.until(lambda: edge.listener.in_flight == 0)


async def test_drain_closes_idle_connections_and_listens_no_more(serve, echo) -> None:
    edge = await serve(echo)
    fresh, used = await edge.connect(), await edge.connect()
    await used.send(GET)
    assert (await used.answer()).status == 200
    assert await edge.listener.drain(2)
    assert await fresh.rest() == b""
    assert await used.rest() == b""
    with pytest.raises(OSError):
        await edge.connect()


async def test_drain_lets_an_upload_in_flight_finish(serve, echo) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n")
    await edge.until(lambda: edge.listener.in_flight)
    draining = asyncio.ensure_future(edge.listener.drain(10))
    for _ in range(3):
        await asyncio.sleep(0.1)
        assert not draining.done()
        await client.send(bytes(100_000))
    answer = await client.answer()
    assert (answer.status, len(answer.body)) == (200, 300_000)
    assert answer.headers["Connection"] == "close"
    assert await client.rest() == b""
    assert await asyncio.wait_for(draining, 2)


async def test_drain_waits_for_an_answer_that_is_still_being_taken(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        return Reply(200, body=bytes(30_000_000))

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(GET)
    await edge.until(lambda: edge.listener.in_flight)
    draining = asyncio.ensure_future(edge.listener.drain(10))
    await asyncio.sleep(0.1)
    assert not draining.done()
    assert len((await client.answer()).body) == 30_000_000
    assert await draining


async def test_drain_lets_a_head_that_has_begun_be_completed(serve, echo) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(GET[:10])
    await asyncio.sleep(0.05)
    draining = asyncio.ensure_future(edge.listener.drain(10))
    await asyncio.sleep(0.05)
    await client.send(GET[10:])
    answer = await client.answer()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert await draining


async def test_a_request_on_its_way_when_draining_begins_is_answered(serve, echo) -> None:
    edge = await serve(echo)
    idle, fresh = await edge.connect(), await edge.connect()
    await idle.send(GET)
    assert (await idle.answer()).status == 200
    idle.writer.write(GET)
    fresh.writer.write(GET)
    draining = asyncio.ensure_future(edge.listener.drain(5))
    assert (await idle.answer()).status == 200
    assert (await fresh.answer()).status == 200
    assert await draining


async def test_drain_waits_for_work_whose_client_has_left(serve, handler_cancellation: bool) -> None:
    done: list[bool] = []

    async def handle(flow: Flow) -> Reply:
        await asyncio.sleep(0.3)
        done.append(True)
        return Reply(200)

    edge = await serve(handle, handler_cancellation=False)
    client = await edge.connect()
    await client.send(GET)
    await edge.until(lambda: edge.listener.in_flight)
    await client.close()
    assert await edge.listener.drain(5)
    assert done == [True]


async def test_drain_gives_up_in_time_and_stop_ends_what_is_left(serve) -> None:
    ended: list[str] = []

    async def handle(flow: Flow) -> Reply:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(flow.id)
        raise AssertionError

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(GET)
    await edge.until(lambda: edge.listener.in_flight)
    assert not await edge.listener.drain(0.1)
    assert edge.listener.in_flight == 1
    await edge.listener.stop()
    assert edge.listener.in_flight == 0
    assert len(ended) == 1
    assert await client.rest() == b""
    assert edge.records[0].ending == DRAINED
    await edge.listener.stop()


async def test_a_listener_that_was_not_started_can_be_drained_and_stopped(echo) -> None:
    listener = DataListener(echo, ListenerOptions(), RequestObserver(Metrics()))
    assert await listener.drain(0)
    await listener.stop()


async def test_an_address_in_use_is_an_error(serve, echo) -> None:
    edge = await serve(echo)
    second = DataListener(echo, ListenerOptions(), RequestObserver(Metrics()))
    with pytest.raises(OSError):
        await second.start("127.0.0.1", edge.listener.port)


async def test_processes_can_share_a_port(serve, echo) -> None:
    edge = await serve(echo, reuse_port=True)
    second = DataListener(echo, ListenerOptions(reuse_port=True), RequestObserver(Metrics()))
    await second.start("127.0.0.1", edge.listener.port)
    assert second.port == edge.listener.port
    await second.stop()
