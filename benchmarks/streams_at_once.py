"""How late the pieces of many streams come when the gateway is about half busy.

An origin sends every stream a piece at a steady pace, each with the moment when it left; the client notes when it came,
through the gateway and straight from the origin. `python benchmarks/streams_at_once.py [--streams N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import struct
import tempfile
import time
from pathlib import Path

from edge_memory import BARE, gateway

from kyma_proxy.observe.logs import configure_logging

PIECE_BYTES = 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /v1/audio/voices HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


class Origin:
    """Sends each stream a piece every so often, from moments spread over the pace."""

    def __init__(self, pace_seconds: float, pieces: int) -> None:
        self.port = 0
        self._pace_seconds = pace_seconds
        self._pieces = pieces
        self._streams = 0

    async def start(self) -> None:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self._streams += 1
        writer.write(HEAD)
        due = time.monotonic() + 1 + self._pace_seconds * (self._streams * 0.618 % 1)
        for _ in range(self._pieces):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += self._pace_seconds
            piece = struct.pack("d", time.monotonic()).ljust(PIECE_BYTES, b"\0")
            writer.write(b"%x\r\n%b\r\n" % (PIECE_BYTES, piece))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()


async def listen(port: int, delays: list[float]) -> None:
    """Read one stream, and note how late each piece came, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    while (size := int(await reader.readline(), 16)) > 0:
        piece = await reader.readexactly(size + 2)
        delays.append(time.monotonic() - struct.unpack_from("d", piece)[0])
    writer.close()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(port: int, streams: int, pid: int | None) -> str:
    """One line: how late pieces came, and how busy the gateway was."""
    delays: list[float] = []
    began, busy = time.monotonic(), cpu_seconds(pid) if pid else 0.0
    await asyncio.gather(*(listen(port, delays) for _ in range(streams)))
    delays.sort()
    median, late = (1000 * delays[int(len(delays) * part)] for part in (0.5, 0.99))
    share = "" if pid is None else f"; busy {100 * (cpu_seconds(pid) - busy) / (time.monotonic() - began):.0f} %"
    return f"{len(delays)} pieces, {median:.1f} ms median, {late:.1f} ms p99, {1000 * delays[-1]:.1f} ms worst{share}"


async def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--pace-ms", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    configure_logging("error")
    pace_seconds = options.pace_ms / 1000
    origin = Origin(pace_seconds, int(options.seconds / pace_seconds))
    await origin.start()
    print(f"{options.streams} streams, a piece of {PIECE_BYTES} bytes every {options.pace_ms:g} ms each")
    print(f"straight from the origin: {await measured(origin.port, options.streams, None)}")
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), BARE, origin) as (pid, port):
            print(f"through the gateway:      {await measured(port, options.streams, pid)}")


if __name__ == "__main__":
    asyncio.run(main())
