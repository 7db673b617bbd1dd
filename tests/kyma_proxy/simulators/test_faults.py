import errno
import time

import pytest
from aiohttp import ClientOSError, ClientSession, web
from aiohttp.test_utils import TestServer

from kyma_proxy.simulators.faults import FAULTS_MAX, BaseFault, FaultBook, strike


def test_a_fault_happens_as_often_as_it_was_told() -> None:
    book = FaultBook[BaseFault]()
    book.add(BaseFault(times=2))

    assert [book.take("/v1/get_voice") is not None for _ in range(4)] == [True, True, False, False]


def test_a_fault_without_times_happens_until_cleared() -> None:
    book = FaultBook[BaseFault]()
    book.add(BaseFault(times=None))

    assert all(book.take("/v1/get_voice") for _ in range(50))
    book.clear()
    assert book.take("/v1/get_voice") is None


def test_a_fault_of_one_path_leaves_others_alone() -> None:
    book = FaultBook[BaseFault]()
    book.add(BaseFault(path="/v1/voice_clone", reset=True, times=3))

    assert book.take("/v1/files/upload") is None
    assert book.take("/v1/voice_clone") is not None
    assert [fault.times for fault in book.waiting] == [2]


def test_waiting_faults_are_bounded() -> None:
    book = FaultBook[BaseFault]()
    for _ in range(FAULTS_MAX):
        book.add(BaseFault())

    with pytest.raises(ValueError, match="more than 100"):
        book.add(BaseFault())


async def struck(fault: BaseFault) -> tuple[int, str, str]:
    """Status, type and text that a caller sees of a server whose every call meets the fault."""

    async def handle(request: web.Request) -> web.Response:
        return await strike(fault, request) or web.Response(text="no answer of its own")

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server, ClientSession() as session, session.get(server.make_url("/")) as reply:
        return reply.status, reply.content_type, await reply.text()


async def test_a_fault_answers_with_its_status() -> None:
    status, content_type, text = await struck(BaseFault(http_status=502))

    assert (status, content_type) == (502, "text/html")
    assert "502 Bad Gateway" in text


async def test_a_fault_resets_the_connection() -> None:
    with pytest.raises(ClientOSError) as reset:
        await struck(BaseFault(reset=True, http_status=502))

    assert reset.value.errno == errno.ECONNRESET


async def test_a_fault_that_only_stalls_lets_the_call_go_on() -> None:
    started = time.monotonic()

    assert (await struck(BaseFault(stall_seconds=0.1)))[2] == "no answer of its own"
    assert time.monotonic() - started >= 0.1
