"""A mixed load for as long as asked, with reloads in between; prints progress, failures, and how memory grows.

Speech (whole and streaming, metered), forwarded requests, refused clones, clients that leave, and a reload every ten
seconds, against the real process. `make soak MINUTES=60`. Exit 1 when a request failed, the books are wrong, or the
memory grows by more than a megabyte an hour once it has settled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
from clone_cost import command, memory_mib, serve

from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.simulators.minimax import Behaviour, MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.testing.audio import silent_wav

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", drain_seconds: 10}}
database: {{url: embedded, data_dir: "{folder}/data"}}
upstreams:
  minimax:
    adapter: minimax
    base_url: "{minimax}"
    api_key: sk-api-simulated
    models: {{minimax-speech-turbo: speech-02-turbo}}
    max_requests_per_account: 64
  origin: {{adapter: forward, base_url: "{origin}"}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {{upstream: minimax}}
  - use: voice_ownership
  - use: speech_metering
    config: {{prices_usd_per_1k_chars: {{minimax-speech-turbo: "0.084"}}}}
routes:
  - {{path: /v1/audio/speech, methods: [POST], models: ["minimax-*"], upstream: minimax}}
  - {{path: "/v1/audio/**", upstream: origin}}
"""
CLIENTS = 8
SETTLING = 0.4
"""The part of the run whose growth is warming up: caches fill, the allocator finds its level."""
MIB_PER_HOUR_MAX = 1.0
FLOOR_SECONDS = 150.0
TEXT = "Mind the gap between the train and the platform, please."


class Load:
    """Clients that ask for everything in turn."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self.answers: Counter[str] = Counter()

    async def client(self, until: float) -> None:
        """One client."""
        steps = (self.speak, self.stream, self.forward, self.leave, self.refused_clone)
        number = 0
        while time.monotonic() < until:
            step = steps[number % len(steps)]
            number += 1
            try:
                self.answers[f"{step.__name__} {await step()}"] += 1
            except aiohttp.ClientError as error:
                self.answers[f"{step.__name__} failed: {type(error).__name__}"] += 1

    def _speech(self, **more: object) -> aiohttp.client._RequestContextManager:
        fields = {"model": "minimax-speech-turbo", "voice": "English_Graceful_Lady", "input": TEXT, **more}
        return self._http.post(f"{self._url}/v1/audio/speech", json=fields, headers=self._headers)

    async def speak(self) -> int:
        """Speech in one piece."""
        async with self._speech() as answer:
            await answer.read()
            return answer.status

    async def stream(self) -> int:
        """Speech as it is spoken."""
        async with self._speech(stream=True) as answer:
            await answer.read()
            return answer.status

    async def leave(self) -> int:
        """Speech whose client hangs up within it."""
        async with self._speech(stream=True) as answer:
            await answer.content.readany()
            answer.close()
            return answer.status

    async def forward(self) -> int:
        """A request that the origin answers."""
        async with self._http.get(f"{self._url}/v1/audio/voices") as answer:
            await answer.read()
            return answer.status

    async def refused_clone(self) -> int:
        """An upload that is too short."""
        form = aiohttp.FormData()
        form.add_field("file", silent_wav(5), filename="short.wav")
        async with self._http.post(f"{self._url}/v1/audio/voice-clone", data=form, headers=self._headers) as answer:
            await answer.read()
            return answer.status


EXPECTED = {"speak 200", "stream 200", "leave 200", "forward 401", "refused_clone 400"}


def slope_mib_per_hour(samples: list[tuple[float, float]]) -> float:
    """The slope of a line through samples of (seconds, MiB), by least squares."""
    times, values = zip(*samples, strict=True)
    middle, level = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in times)
    return 0.0 if not spread else 3600 * sum((t - middle) * (v - level) for t, v in samples) / spread


def floors(samples: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The least of each window: what is left when the garbage of requests and reloads has just been collected."""
    windows: dict[int, tuple[float, float]] = {}
    for sample in samples:
        window = int(sample[0] // FLOOR_SECONDS)
        windows[window] = min(sample, windows.get(window, sample), key=lambda each: each[1])
    return list(windows.values())


async def watch(gateway: asyncio.subprocess.Process, load: Load, until: float) -> list[tuple[float, float]]:
    """Sample memory every two seconds, reload every ten, tell every thirty."""
    samples: list[tuple[float, float]] = []
    started = time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(2)
        seconds = time.monotonic() - started
        samples.append((seconds, memory_mib(gateway.pid, "VmRSS")))
        if len(samples) % 5 == 0:
            gateway.send_signal(signal.SIGHUP)
        if len(samples) % 15 == 0:
            print(f"{seconds:7.0f} s  {load.answers.total():8d} requests  {samples[-1][1]:6.1f} MiB", flush=True)
    return samples


async def soak(folder: Path, minutes: float) -> int:
    """Run the load and judge what came of it."""
    config = folder / "gateway.yaml"
    async with (
        MiniMaxSimulator(behaviour=Behaviour(stream_chunk_seconds=0.001)) as minimax,
        OriginSimulator() as origin,
    ):
        config.write_text(CONFIG.format(folder=folder, minimax=minimax.base_url, origin=origin.base_url))
        account = await command(config, "accounts", "create", "soak", "--credit", "1000000")
        gateway, url = await serve(config)
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                load = Load(http, url, account["api_key"])
                until = time.monotonic() + minutes * 60
                clients = [asyncio.ensure_future(load.client(until)) for _ in range(CLIENTS)]
                forget = asyncio.ensure_future(forget_calls(minimax, origin, until))
                samples = await watch(gateway, load, until)
                await asyncio.gather(*clients, forget)
        finally:
            gateway.send_signal(signal.SIGTERM)
            code = await gateway.wait()
        audit = await command(config, "ledger", "audit")
    return tell(load, samples, audit, code)


async def forget_calls(minimax: MiniMaxSimulator, origin: OriginSimulator, until: float) -> None:
    """The simulators remember every call; nobody looks at them here."""
    while time.monotonic() < until:
        await asyncio.sleep(1)
        minimax.calls.clear()
        origin.calls.clear()


def tell(load: Load, samples: list[tuple[float, float]], audit: dict[str, object], code: int) -> int:
    """Print the figures; 1 where one of them is wrong."""
    wrong = {answer: count for answer, count in load.answers.items() if answer not in EXPECTED}
    settled = samples[int(len(samples) * SETTLING) :]
    floor = floors(settled)
    slope = slope_mib_per_hour(floor)
    first, last = floor[0][1], floor[-1][1]
    highest = max(value for _, value in settled)
    print(json.dumps(dict(load.answers), indent=1))
    print(f"requests that went wrong   {sum(wrong.values())} of {load.answers.total()} {wrong or ''}")
    print(
        f"memory                     {first:.1f} to {last:.1f} MiB once settled, at times {highest:.1f};"
        f" {slope:+.2f} MiB an hour (aim: flat)"
    )
    print(f"problems in the books      {audit['problems']}, open holds {audit['open_holds']}, exit code {code}")
    # In a short run a sample's noise is more than an hour's growth would be.
    grows = last - first > 2 and slope > MIB_PER_HOUR_MAX
    return int(bool(wrong or audit["problems"] or audit["open_holds"] or code or grows))


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default 10)")
    minutes = parser.parse_args().minutes
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="kyma-soak-") as folder:
        sys.exit(asyncio.run(soak(Path(folder), minutes)))


if __name__ == "__main__":
    main()
