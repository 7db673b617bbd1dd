"""What the gateway adds to speech: time to the first audio byte, round trips to the database, memory of a stream.

Runs the real process over an embedded PostgreSQL and the simulated provider. Every speech through the gateway is
followed by the same one straight at the provider, and the figures are differences within this one run.
`python benchmarks/speech_first_byte.py [--pairs N] [--streams N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from clone_cost import Stage, command, memory_mib, serve

from kyma_proxy.database.access import open_database
from kyma_proxy.database.pool import Database
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.settings import load_database_settings
from kyma_proxy.simulators.minimax import Behaviour, Fault, MiniMaxSimulator

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}}
database: {{url: embedded, data_dir: "{folder}/data"}}
upstreams:
  minimax:
    adapter: minimax
    base_url: "{minimax}"
    api_key: sk-api-simulated
    models: {{minimax-speech-turbo: speech-02-turbo}}
plugins:
  - use: api_key_auth
  - use: voice_ownership
routes:
  - {{path: /v1/audio/speech, methods: [POST], models: ["minimax-*"], upstream: minimax}}
"""
T2A = "/v1/t2a_v2"
VOICE = "English_Graceful_Lady"
TEXT = "Mind the gap between the train and the platform, please."
ASKED_BACKENDS = """
SELECT pid, query_start FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND query <> 'SELECT 1' AND query NOT LIKE '/* keep warm */%'
"""
"""Who was asked what and when, without what no request waits for: the feed's ping, and keeping answers warm."""


@dataclass(frozen=True)
class SpeechStage(Stage):
    """The same, with a look into the database."""

    database: Database

    def through(self) -> Any:
        """Speech through the gateway, as a context manager."""
        fields = {"model": "minimax-speech-turbo", "voice": VOICE, "input": TEXT, "stream": True}
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return self.http.post(f"{self.url}/v1/audio/speech", json=fields, headers=headers)

    def direct(self) -> Any:
        """The same speech straight at the provider."""
        fields = {
            "model": "speech-02-turbo",
            "text": TEXT,
            "stream": True,
            "stream_options": {"exclude_aggregated_audio": True},
            "output_format": "hex",
            "voice_setting": {"voice_id": VOICE},
            "audio_setting": {"format": "mp3", "sample_rate": 44100, "bitrate": 128000, "channel": 1},
        }
        headers = {"Authorization": f"Bearer {self.minimax.api_key}"}
        return self.http.post(f"{self.minimax.base_url}{T2A}", json=fields, headers=headers)


async def first_byte_through(stage: SpeechStage) -> float:
    """Seconds until the first audio came through the gateway."""
    started = time.perf_counter()
    async with stage.through() as answer:
        if not await answer.content.readany() or answer.status != 200:
            raise SystemExit(f"{answer.status}: {await answer.read()!r}")
        seconds = time.perf_counter() - started
        await answer.read()
    return seconds


async def first_byte_directly(stage: SpeechStage) -> float:
    """Seconds until the first audio came from the provider itself, taken out of its event."""
    started = time.perf_counter()
    async with stage.direct() as answer:
        event = await answer.content.readuntil(b"\n\n")
        if not bytes.fromhex(json.loads(event.removeprefix(b"data: "))["data"]["audio"]):
            raise SystemExit("the provider's first event has no audio")
        seconds = time.perf_counter() - started
        await answer.read()
    return seconds


async def time_to_first_byte(stage: SpeechStage, pairs: int) -> None:
    """Print what the gateway adds."""
    through, direct = [], []
    for _ in range(pairs):
        through.append(await first_byte_through(stage))
        direct.append(await first_byte_directly(stage))
    added_ms = sorted((one - other) * 1000 for one, other in zip(through, direct, strict=True))
    print(
        f"first audio byte          {statistics.median(added_ms):+6.2f} ms (median of {pairs} pairs; "
        f"{added_ms[pairs * 9 // 10]:+.2f} at the ninth decile; aim: under +2)\n"
        f"                          {statistics.median(direct) * 1000:6.2f} ms at the provider itself"
    )


async def round_trips(stage: SpeechStage) -> None:
    """Print how many of the gateway's lines to the database were used while it spoke with everything cached."""
    await first_byte_through(stage)
    before = await stage.database.fetch(ASKED_BACKENDS)
    started, speeches = time.perf_counter(), 0
    # Longer than the two seconds for which "not on file" is believed: what is kept warm has to hold.
    while time.perf_counter() - started < 5:
        await first_byte_through(stage)
        speeches += 1
    asked = set(map(tuple, await stage.database.fetch(ASKED_BACKENDS))) - set(map(tuple, before))
    print(f"database                  {len(asked):6d} lines of the pool used by {speeches} speeches (aim: 0)")


async def memory_of_streams(stage: SpeechStage, streams: int) -> None:
    """Print what an open stream costs the gateway."""
    stage.minimax.inject(Fault(path=T2A, chunk_stall_seconds=60, times=None))
    before_mib = memory_mib(stage.pid, "VmRSS")
    async with AsyncExitStack() as open_streams:
        for _ in range(streams):
            answer = await open_streams.enter_async_context(stage.through())
            await answer.content.readany()
            open_streams.callback(answer.close)
        kib = (memory_mib(stage.pid, "VmRSS") - before_mib) * 1024 / streams
    print(f"an open stream            {kib:6.0f} KiB each ({streams} at once; aim: under 256)")


async def measure(folder: Path, pairs: int, streams: int) -> None:
    """Start everything, measure, print, stop."""
    config = folder / "gateway.yaml"
    async with MiniMaxSimulator(behaviour=Behaviour(stream_chunk_seconds=0.001)) as minimax:
        config.write_text(CONFIG.format(folder=folder, minimax=minimax.base_url))
        account = await command(config, "accounts", "create", "bench")
        gateway, url = await serve(config)
        try:
            connector = aiohttp.TCPConnector(limit=0)
            async with (
                open_database(load_database_settings(config)) as (database, _),
                aiohttp.ClientSession(connector=connector) as http,
            ):
                stage = SpeechStage(http, gateway.pid, url, account["api_key"], minimax, database)
                await time_to_first_byte(stage, pairs)
                await round_trips(stage)
                await memory_of_streams(stage, streams)
        finally:
            gateway.send_signal(signal.SIGTERM)
            await gateway.wait()


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=300, help="pairs of speeches to time (default 300)")
    parser.add_argument("--streams", type=int, default=200, help="streams to hold open at once (default 200)")
    arguments = parser.parse_args()
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.pairs, arguments.streams))


if __name__ == "__main__":
    main()
