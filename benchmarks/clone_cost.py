"""What a clone costs: memory of the gateway, transactions, and time beside the provider's own.

Runs the real process over an embedded PostgreSQL and the simulated provider, and prints ratios within this one run:
absolute times belong to the machine. `python benchmarks/clone_cost.py [--clones N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.testing.audio import silent_wav

MIB = 1024 * 1024
CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}}
database: {{url: embedded, data_dir: "{folder}/data"}}
upstreams:
  minimax: {{adapter: minimax, base_url: "{minimax}", api_key: sk-api-simulated}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {{upstream: minimax}}
"""


@dataclass(frozen=True)
class Stage:
    """A running gateway, whom to charge, and the provider behind it."""

    http: aiohttp.ClientSession
    pid: int
    url: str
    api_key: str
    minimax: MiniMaxSimulator


def memory_mib(pid: int, field: str) -> float:
    """VmRSS (now) or VmHWM (peak since `forget_peak`) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def forget_peak(pid: int) -> None:
    """Start measuring the peak anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def command(config: Path, *arguments: str) -> Any:
    """Run `kyma-proxy ARGUMENTS --json` and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kyma_proxy", *arguments, "--json", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"kyma-proxy {' '.join(arguments)} failed")
    return json.loads(out)


async def serve(config: Path) -> tuple[asyncio.subprocess.Process, str]:
    """Start the gateway and return its process and base URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kyma_proxy", "serve", "--config", str(config)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async for line in process.stdout:
        event = json.loads(line)
        if event.get("event") == "serving":
            drained = asyncio.get_running_loop().create_task(drain(process.stdout))
            drained.add_done_callback(lambda _task: None)
            return process, f"http://127.0.0.1:{event['port']}"
    raise SystemExit("the gateway did not start")


async def drain(stream: asyncio.StreamReader) -> None:
    """Read a log away so that the process never waits for it."""
    while await stream.read(MIB):
        pass


async def clone(http: aiohttp.ClientSession, url: str, api_key: str, recording: bytes) -> float:
    """Clone once through the gateway; the seconds it took."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(recording), filename="a.wav")
    started = time.perf_counter()
    async with http.post(
        f"{url}/v1/audio/voice-clone", data=form, headers={"Authorization": f"Bearer {api_key}"}
    ) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {body!r}")
    return time.perf_counter() - started


async def clone_directly(
    http: aiohttp.ClientSession, minimax: MiniMaxSimulator, recording: bytes, number: int
) -> float:
    """The same clone straight at the provider: upload and clone; the seconds it took."""
    headers = {"Authorization": f"Bearer {minimax.api_key}"}
    form = aiohttp.FormData({"purpose": "voice_clone"})
    form.add_field("file", io.BytesIO(recording), filename="a.wav")
    started = time.perf_counter()
    async with http.post(f"{minimax.base_url}/v1/files/upload", data=form, headers=headers) as answer:
        file_id = (await answer.json())["file"]["file_id"]
    fields = {"file_id": file_id, "voice_id": f"direct_{number:08d}a"}
    async with http.post(f"{minimax.base_url}/v1/voice_clone", json=fields, headers=headers) as answer:
        if (await answer.json())["base_resp"]["status_code"] != 0:
            raise SystemExit("the provider refused a direct clone")
    return time.perf_counter() - started


async def measure(folder: Path, clones: int) -> None:
    """Start everything, measure, print, stop."""
    config = folder / "gateway.yaml"
    async with MiniMaxSimulator() as minimax:
        config.write_text(CONFIG.format(folder=folder, minimax=minimax.base_url))
        account = await command(config, "accounts", "create", "bench", "--credit", "100000")
        gateway, url = await serve(config)
        try:
            async with aiohttp.ClientSession() as http:
                await figures(Stage(http, gateway.pid, url, account["api_key"], minimax), clones)
        finally:
            gateway.send_signal(signal.SIGTERM)
            await gateway.wait()


async def figures(stage: Stage, clones: int) -> None:
    """Print one line a figure."""
    http, pid, url, api_key, minimax = stage.http, stage.pid, stage.url, stage.api_key, stage.minimax
    recording, short = silent_wav(10 * MIB // 88_200 - 1, rate_hz=44_100), silent_wav(12)
    fresh_mib = memory_mib(pid, "VmRSS")
    await clone(http, url, api_key, recording)
    await asyncio.sleep(0.5)
    idle_mib = memory_mib(pid, "VmRSS")
    peaks = []
    for _ in range(5):
        await asyncio.sleep(0.2)
        before_mib = memory_mib(pid, "VmRSS")
        forget_peak(pid)
        await clone(http, url, api_key, recording)
        peaks.append(memory_mib(pid, "VmHWM") - before_mib)
    print(
        f"idle process              {fresh_mib:6.1f} MiB before the first clone, {idle_mib:.1f} after (aim: under 80)"
    )
    print(
        f"one upload of {len(recording) / MIB:.1f} MiB    {statistics.median(peaks):+6.1f} MiB above idle at its peak,"
        f" worst of {len(peaks)}: {max(peaks):+.1f} (aim: at most +12)"
    )
    through, direct = [], []
    used_before = cpu_seconds(pid)
    for number in range(clones):
        through.append(await clone(http, url, api_key, short))
        direct.append(await clone_directly(http, minimax, short, number))
    cpu_ms = (cpu_seconds(pid) - used_before) / clones * 1000
    ratio = statistics.median(through) / statistics.median(direct)
    print(f"a clone of 12 s           {ratio:6.2f} x the time of the provider's own calls (median of {clones} pairs)")
    print(f"                          {cpu_ms:6.2f} ms of the gateway's CPU each")


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clones", type=int, default=100, help="pairs of small clones to time (default 100)")
    arguments = parser.parse_args()
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.clones))


if __name__ == "__main__":
    main()
