"""What the edge costs while nothing happens: memory of an idle gateway, of idle connections and of open streams.

Runs the real process over an embedded PostgreSQL and a silent origin. The idle gateway is measured with and without
plugins and provider; the streams are forwarded answers whose origin is silent behind the head and a first piece.
`python benchmarks/edge_memory.py [--streams N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clone_cost import memory_mib, serve

from kyma_proxy.observe.logs import configure_logging

BARE = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}}
database: {{url: embedded, data_dir: "{folder}/data"}}
upstreams:
  origin: {{adapter: forward, base_url: "http://127.0.0.1:{port}"}}
routes:
  - {{path: "/v1/audio/**", upstream: origin}}
"""
FULL = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}}
database: {{url: embedded, data_dir: "{folder}/data"}}
upstreams:
  minimax:
    {{adapter: minimax, base_url: "http://127.0.0.1:{port}", api_key: sk-api-simulated, models: {{hd: speech-02-hd}}}}
  origin: {{adapter: forward, base_url: "http://127.0.0.1:{port}"}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {{upstream: minimax, price_usd: "2.10"}}
  - use: voice_design
    config: {{upstream: minimax, price_usd: "4.20"}}
  - use: voice_ownership
  - use: speech_metering
    config: {{prices_usd_per_1k_chars: {{hd: "0.14"}}}}
routes:
  - {{path: "/v1/audio/**", upstream: origin}}
"""
GET = b"GET /v1/audio/voices HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer bench\r\n\r\n"
UPLOAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: bench\r\nContent-Length: 9\r\n\r\nsome"
BEGINNING = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Held:
    """A kind of connection to hold open: what its client sends, and reads up to before it falls silent."""

    name: str
    sent: bytes
    expected: bytes
    short: bool
    count: int


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HasPort(Protocol):
    """Something that listens."""

    port: int


class Origin:
    """Answers with a whole `short` answer, or begins one and is silent."""

    def __init__(self) -> None:
        self.short = True
        self.arrived = asyncio.Semaphore(0)
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.arrived.release()
                if head.startswith(b"GET"):
                    writer.write(SHORT if self.short else BEGINNING)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()


@asynccontextmanager
async def gateway(folder: Path, config: str, origin: HasPort) -> AsyncIterator[tuple[int, int]]:
    """A running gateway: its process id and port."""
    path = folder / "gateway.yaml"
    path.write_text(config.format(folder=folder, port=origin.port))
    process, url = await serve(path)
    try:
        await asyncio.sleep(2)  # what starting leaves behind is done
        yield process.pid, int(url.rpartition(":")[2])
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def opened(port: int, count: int, sent: bytes, expected: bytes) -> list[Client]:
    """Connections that each sent something and, if anything is `expected`, have read up to it."""
    clients = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        if expected:
            await reader.readuntil(expected)
        clients.append((reader, writer))
    return clients


async def cost(pid: int, port: int, origin: Origin, held: Held) -> float:
    """KiB of memory for each of some connections, beside what a first few have cost once."""
    origin.short = True
    for _, writer in await opened(port, 20, GET, b"ok"):
        writer.close()
    await asyncio.sleep(1)
    origin.short = held.short
    origin.arrived = asyncio.Semaphore(0)
    before_mib = memory_mib(pid, "VmRSS")
    clients = await opened(port, held.count, held.sent, held.expected)
    for _ in clients:
        await origin.arrived.acquire()
    kib = (memory_mib(pid, "VmRSS") - before_mib) * 1024 / held.count
    for _, writer in clients:
        writer.close()
    return kib


async def measure(folder: Path, count: int) -> None:
    """Start everything, measure, print, stop; each figure comes from a process of its own."""
    origin = Origin()
    await origin.start()
    for name, config in (("an idle gateway, forwarding only", BARE), ("an idle gateway, all plugins", FULL)):
        async with gateway(folder, config, origin) as (pid, _):
            print(f"{name:34s}{memory_mib(pid, 'VmRSS'):7.1f} MiB (aim: at most 60)")
    for held in (
        Held("an idle connection of a client", GET, b"ok", True, count),
        Held("an open answer, both connections", GET, b"some", False, count),
        Held("an open upload, both connections", UPLOAD, b"", False, count),
    ):
        async with gateway(folder, FULL, origin) as (pid, port):
            kib = await cost(pid, port, origin, held)
            print(f"{held.name:34s}{kib:7.1f} KiB each ({held.count} at once; aim: at most 64)")


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=300, help="connections to hold open at once (default 300)")
    arguments = parser.parse_args()
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.streams))


if __name__ == "__main__":
    main()
