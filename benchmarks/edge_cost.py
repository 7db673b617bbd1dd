"""What the edge costs a request that it only forwards: time to the first byte, processor time, and large uploads.

Runs the real process beside two others that know the same origin: none (straight to it), and a reverse proxy of a
dozen lines on plain aiohttp. All three are asked in turns, and every figure is a ratio or a difference within this run.
`python benchmarks/edge_cost.py [--rounds N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
from aiohttp import web
from clone_cost import cpu_seconds
from edge_memory import BARE, SHORT, Origin, gateway

from kyma_proxy.observe.logs import configure_logging

GET = b"GET /v1/audio/voices HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
UPLOAD_BYTES = 25_000_000
UPLOAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n" % UPLOAD_BYTES
BATCH = 200
CLIENTS = 16


class SinkOrigin(Origin):
    """Answers requests with bodies too, once the body is read."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"ransfer-" in head.lower() or b"content-length: %d" % UPLOAD_BYTES in head.lower():
                    left = UPLOAD_BYTES
                    while left > 0:
                        left -= len(await reader.read(min(left, 1 << 18)))
                writer.write(SHORT)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()


def plain_proxy(origin_port: int, told: Connection) -> None:
    """Serve the yardstick until ended; its port is sent to `told`."""

    async def run() -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as session:

            async def forward(request: web.BaseRequest) -> web.StreamResponse:
                url = f"http://127.0.0.1:{origin_port}{request.path_qs}"
                headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
                body = request.content if request.can_read_body else None
                async with session.request(request.method, url, headers=headers, data=body) as answer:
                    response = web.StreamResponse(status=answer.status, headers=answer.headers)
                    await response.prepare(request)
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                    await response.write_eof()
                    return response

            server = await asyncio.get_running_loop().create_server(web.Server(forward), "127.0.0.1", 0)
            told.send(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    asyncio.run(run())


class Target:
    """Something to ask, by its port; `pid` is None where there is nothing in between."""

    def __init__(self, name: str, pid: int | None, port: int) -> None:
        self.name = name
        self.pid = pid
        self.port = port
        self.first_byte_seconds: list[float] = []
        self.cpu_per_request: list[float] = []
        self.upload_seconds: list[float] = []

    async def one_by_one(self) -> None:
        """A batch of small requests on one connection, each timed to its first byte."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for _ in range(BATCH):
            started = time.perf_counter()
            writer.write(GET)
            await reader.read(1)
            self.first_byte_seconds.append(time.perf_counter() - started)
            await reader.readuntil(b"ok")
        writer.close()

    async def all_at_once(self) -> None:
        """A batch on each of several connections, for the processor time of one."""
        if self.pid is None:
            return
        before = cpu_seconds(self.pid)

        async def batch() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            for _ in range(BATCH):
                writer.write(GET)
                await reader.readuntil(b"ok")
            writer.close()

        await asyncio.gather(*(batch() for _ in range(CLIENTS)))
        self.cpu_per_request.append((cpu_seconds(self.pid) - before) / (BATCH * CLIENTS))

    async def upload(self) -> None:
        """One large body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        started = time.perf_counter()
        writer.write(UPLOAD)
        piece = bytes(1 << 18)
        for at in range(0, UPLOAD_BYTES, len(piece)):
            writer.write(piece[: UPLOAD_BYTES - at])
            await writer.drain()
        await reader.readuntil(b"ok")
        self.upload_seconds.append(time.perf_counter() - started)
        writer.close()


def report(direct: Target, plain: Target, kyma: Target) -> None:
    """Print the figures."""
    base = statistics.median(direct.first_byte_seconds)
    for target in (plain, kyma):
        added = (statistics.median(target.first_byte_seconds) - base) * 1000
        print(f"time to the first byte added by {target.name:16s}{added:7.3f} ms (median; aim: at most 1)")
    plain_cpu, kyma_cpu = (min(target.cpu_per_request) * 1e6 for target in (plain, kyma))
    print(f"processor time of a small GET      {kyma_cpu:7.0f} us, {kyma_cpu / plain_cpu:.2f} of the plain proxy's")
    mib = UPLOAD_BYTES / 2**20
    for target in (direct, plain, kyma):
        print(f"upload of 25 MB, {target.name:18s}{mib / min(target.upload_seconds):7.0f} MiB/s")


async def measure(folder: Path, rounds: int) -> None:
    """Start all three, ask them in turns, print, stop."""
    origin = SinkOrigin()
    await origin.start()
    here, there = multiprocessing.Pipe()
    plain = multiprocessing.get_context("spawn").Process(target=plain_proxy, args=(origin.port, there), daemon=True)
    plain.start()
    try:
        plain_port = await asyncio.to_thread(here.recv)
        async with gateway(folder, BARE, origin) as (pid, port):
            assert plain.pid is not None
            targets = (
                Target("nothing", None, origin.port),
                Target("plain aiohttp", plain.pid, plain_port),
                Target("this gateway", pid, port),
            )
            for _ in range(rounds):
                for act in (Target.one_by_one, Target.all_at_once, Target.upload):
                    for target in targets:
                        await act(target)
            report(*targets)
    finally:
        plain.terminate()
        plain.join()


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is asked (default 5)")
    arguments = parser.parse_args()
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.rounds))


if __name__ == "__main__":
    main()
