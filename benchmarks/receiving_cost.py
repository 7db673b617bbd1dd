"""What receiving a form of 10 MiB costs: our parser beside aiohttp's, and beside only reading the bytes.

One server process answers for all three, asked in turns, and its processor time is read. `python
benchmarks/receiving_cost.py [--rounds N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection

from aiohttp import web
from clone_cost import cpu_seconds

from kyma_proxy.testing.flows import make_flow
from kyma_voice_clone.form import FormRules, receive_form
from kyma_voice_clone.upload import Upload

FILE_BYTES = 10 * 1024 * 1024 - 4_096
MARK = b"--benchmark"
BODY = b"".join(
    (
        MARK + b'\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n',
        bytes(range(256)) * (FILE_BYTES // 256),
        b"\r\n" + MARK + b'\r\nContent-Disposition: form-data; name="name"\r\n\r\nnarrator\r\n' + MARK + b"--\r\n",
    )
)
CONTENT_TYPE = "multipart/form-data; boundary=benchmark"
RULES = FormRules(10 * 1024 * 1024, 64, ("minimax-voice-clone",))
WAYS = ("/read", "/aiohttp", "/ours")


class _Arriving:
    """The body of a request on aiohttp's server, for our parser."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.content_length = request.content_length

    def narrow(self, max_bytes: int) -> None:
        """No bound: the server has one."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._request.content.iter_any())


async def _read(request: web.Request) -> int:
    return sum([len(piece) async for piece in request.content.iter_any()])


async def _aiohttp(request: web.Request) -> int:
    with Upload(RULES.max_file_bytes) as upload:
        async for part in await request.multipart():
            while piece := await part.read_chunk(64 * 1024):
                if part.name == "file" and not upload.append(bytes(piece)):
                    raise web.HTTPRequestEntityTooLarge(RULES.max_file_bytes, upload.size)
        return upload.size


async def _ours(request: web.Request) -> int:
    flow = make_flow(headers={"Content-Type": CONTENT_TYPE})
    flow.body = _Arriving(request)
    with (await receive_form(flow, RULES)).upload as upload:
        return upload.size


def serve(told: Connection) -> None:
    """Receive forms in three ways until ended; the port is sent to `told`."""

    async def run() -> None:
        application = web.Application(client_max_size=1 << 30)
        for path, receive in zip(WAYS, (_read, _aiohttp, _ours), strict=True):

            async def handle(request: web.Request, receive=receive) -> web.Response:  # type: ignore[no-untyped-def]
                return web.Response(text=str(await receive(request)))

            application.router.add_post(path, handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        told.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def post(port: int, path: str) -> None:
    """Send the form once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: b\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    writer.write(head.encode())
    for at in range(0, len(BODY), 1 << 18):
        writer.write(BODY[at : at + (1 << 18)])
        await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in answer:
        raise SystemExit(answer.decode())
    writer.close()


async def measure(pid: int, port: int, rounds: int) -> None:
    """Ask for all three in turns and print."""
    taken: dict[str, list[float]] = {path: [] for path in WAYS}
    for _ in range(rounds):
        for path in WAYS:
            before = cpu_seconds(pid)
            for _ in range(5):
                await post(port, path)
            taken[path].append((cpu_seconds(pid) - before) / 5)
    base = statistics.median(taken["/read"])
    for path, name in zip(WAYS, ("only reading", "aiohttp's MultipartReader", "our form parser"), strict=True):
        middle = statistics.median(taken[path])
        print(f"receiving 10 MiB, {name:<26} {middle * 1000:7.1f} ms of processor time, {middle / base:.2f} of reading")


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of five forms each (default 10)")
    rounds = parser.parse_args().rounds
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        if process.pid is None:
            raise SystemExit("the server did not start")
        asyncio.run(measure(process.pid, ours.recv(), rounds))
    finally:
        process.kill()


if __name__ == "__main__":
    main()
