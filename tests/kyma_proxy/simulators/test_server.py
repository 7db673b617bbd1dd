import asyncio
import gzip
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import ClientSession, web

from kyma_proxy.simulators.server import SimulatorServer


class Recorder(SimulatorServer[SimpleNamespace]):
    def __init__(self, **options: bool) -> None:
        super().__init__(**options)
        self.recorded: list[SimpleNamespace] = []

    @property
    def calls(self) -> list[SimpleNamespace]:
        return list(self.recorded)

    def _app(self) -> web.Application:
        async def handle(request: web.Request) -> web.Response:
            call = SimpleNamespace(path=request.path, body=b"", done=False)
            self.recorded.append(call)
            call.body = await request.read()
            await asyncio.sleep(0.1 if request.path == "/slow" else 0)
            call.done = True
            return web.Response(text="x")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        return app


async def test_it_goes_away_and_comes_back_with_what_it_holds() -> None:
    recorder = Recorder()
    await recorder.start()
    port = recorder.port
    async with ClientSession() as session:
        async with session.get(f"{recorder.base_url}/a") as reply:
            assert await reply.text() == "x"
        await recorder.stop()
        await recorder.stop()
        assert not recorder.running
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{recorder.base_url}/b")
        await recorder.start(port=port)
        async with session.get(f"{recorder.base_url}/c") as reply:
            assert reply.status == 200
    await recorder.stop()

    assert [call.path for call in recorder.calls] == ["/a", "/c"]


async def test_it_cannot_start_twice_nor_on_a_taken_port() -> None:
    async with Recorder() as recorder:
        with pytest.raises(RuntimeError, match="running already"):
            await recorder.start()
        with pytest.raises(OSError, match="in use"):
            await Recorder().start(port=recorder.port)
        assert recorder.running


async def test_work_goes_on_when_the_caller_leaves() -> None:
    async with Recorder() as recorder, ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.get(f"{recorder.base_url}/slow", timeout=aiohttp.ClientTimeout(total=0.03))
        call = await recorder.wait_for_call("/slow")
        assert not call.done
        await asyncio.sleep(0.15)
        assert call.done


async def test_waiting_for_a_call_that_does_not_come() -> None:
    async with Recorder() as recorder:
        with pytest.raises(TimeoutError, match="/a was not called 2 times"):
            await recorder.wait_for_call("/a", 2, timeout_seconds=0.02)


@pytest.mark.parametrize(("undone", "expected"), [(True, b"sound"), (False, gzip.compress(b"sound", mtime=0))])
async def test_content_encoding_is_undone_or_left(undone, expected) -> None:
    body, headers = gzip.compress(b"sound", mtime=0), {"Content-Encoding": "gzip"}
    async with Recorder(auto_decompress=undone) as recorder, ClientSession() as session:
        async with session.post(f"{recorder.base_url}/a", data=body, headers=headers) as reply:
            assert reply.status == 200
        assert recorder.calls[0].body == expected
