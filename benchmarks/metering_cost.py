"""What metering adds to speech: processor time of a request, and how a hot account bears many at once.

Runs the real process over an embedded PostgreSQL and a provider that answers at once, first without `speech_metering`
and then with it, in turns. The hot account is asked at a steady rate; while that goes on, the database is asked ten
times a second who waits for a lock.
`python benchmarks/metering_cost.py [--rounds N] [--rate PER_SECOND]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import tempfile
import time
from pathlib import Path

from clone_cost import command, cpu_seconds, serve

from kyma_proxy.database.access import open_database
from kyma_proxy.database.pool import Database
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.settings import load_database_settings

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}}
database: {{url: embedded, data_dir: "{folder}/data"}}
upstreams:
  minimax: {{adapter: minimax, base_url: "http://127.0.0.1:{port}", api_key: k, models: {{hd: speech-02-hd}}}}
plugins:
  - use: api_key_auth
  - use: voice_ownership
{metering}
routes:
  - {{path: /v1/audio/speech, methods: [POST], models: ["hd"], upstream: minimax}}
"""
METERING = "  - use: speech_metering\n    config: {prices_usd_per_1k_chars: {hd: '0.14'}}"
TEXT = "Mind the gap between the train and the platform, please."
CLIENTS = 16
REQUESTS = 100
LOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
AUDIO = (bytes.fromhex("fffb9064") + bytes(413)) * 20
ANSWER = json.dumps(
    {
        "data": {"audio": AUDIO.hex(), "status": 2},
        "extra_info": {"usage_characters": len(TEXT)},
        "base_resp": {"status_code": 0, "status_msg": "success"},
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER


async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak at once, whatever is asked."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            await reader.readexactly(int(length.split(b":")[1]))
            writer.write(REPLY)
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        writer.close()


class Client:
    """One connection of a customer."""

    def __init__(self, port: int, api_key: str) -> None:
        body = json.dumps({"model": "hd", "input": TEXT, "voice": "English_Graceful_Lady"}).encode()
        head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {api_key}\r\n"
        self._asked = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def speak(self) -> float:
        """One request; its seconds to the last byte."""
        started = time.perf_counter()
        self._writer.write(self._asked)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the gateway refused: {head!r}")
        await self._reader.readexactly(len(AUDIO))
        return time.perf_counter() - started


async def batch(port: int, api_key: str) -> None:
    """Many requests of one account, on several connections."""

    async def one() -> None:
        async with Client(port, api_key) as client:
            for _ in range(REQUESTS):
                await client.speak()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))


async def cpu_of_a_request(pid: int, port: int, api_key: str) -> float:
    """Processor seconds of the gateway for one of them."""
    before = cpu_seconds(pid)
    await batch(port, api_key)
    return (cpu_seconds(pid) - before) / (CLIENTS * REQUESTS)


async def at_a_rate(port: int, api_key: str, rate: int, seconds: float, database: Database) -> tuple[list[float], int]:
    """Seconds of requests that are made so often, whatever becomes of earlier ones; how often somebody was locked."""
    idle: asyncio.LifoQueue[Client] = asyncio.LifoQueue()
    waits, locked, clients = [], 0, []

    async def one() -> None:
        client = Client(port, api_key) if idle.empty() else idle.get_nowait()
        if client not in clients:
            clients.append(client)
            await client.__aenter__()
        waits.append(await client.speak())
        idle.put_nowait(client)

    asked = []
    begun = time.perf_counter()
    looked_at = begun
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        asked.append(asyncio.ensure_future(one()))
        if time.perf_counter() - looked_at > 0.1:
            looked_at = time.perf_counter()
            locked += await database.fetchval(LOCKED)
    await asyncio.gather(*asked)
    for client in clients:
        await client.__aexit__()
    return waits, locked


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000


async def measure(folder: Path, rounds: int, rate: int) -> None:
    """Start the provider, then each gateway in turn; measure, print, stop."""
    server = await asyncio.start_server(provide, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    costs: dict[str, list[float]] = {"": [], METERING: []}
    latencies: dict[str, tuple[list[float], int]] = {}
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(folder=folder, port=port, metering=""))
    account = await command(config, "accounts", "create", "bench", "--credit", "1000000", "--json")
    for number in range(rounds):
        for metering, seen in costs.items():
            config.write_text(CONFIG.format(folder=folder, port=port, metering=metering))
            process, url = await serve(config)
            at = int(url.rpartition(":")[2])
            try:
                await batch(at, account["api_key"])
                seen.append(await cpu_of_a_request(process.pid, at, account["api_key"]))
                if number == rounds - 1:
                    async with open_database(load_database_settings(config)) as (database, _target):
                        latencies[metering] = await at_a_rate(at, account["api_key"], rate, 10, database)
            finally:
                process.send_signal(signal.SIGTERM)
                await process.wait()
    bare, metered = (min(seen) * 1e6 for seen in costs.values())
    print(f"processor time of a speech request {bare:7.0f} us, metered {metered:7.0f} us: {metered / bare:.2f} times")
    for name, (waits, locked) in zip(("unmetered", "metered"), latencies.values(), strict=True):
        print(
            f"one account, {rate} requests/s, {name:10s} median {statistics.median(waits) * 1000:6.1f} ms, "
            f"99th percentile {percentile(waits, 0.99):6.1f} ms; waits for locks seen: {locked}"
        )
    audit = await command(config, "ledger", "audit", "--json")
    print(f"the books: {audit['entries']} entries, {len(audit['problems'])} problems, {audit['open_holds']} open holds")
    server.close()


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="how often each gateway is started (default 3)")
    parser.add_argument("--rate", type=int, default=500, help="requests a second of the hot account (default 500)")
    arguments = parser.parse_args()
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.rounds, arguments.rate))


if __name__ == "__main__":
    main()
