"""What speech feels of fifty uploads at once: its first byte, alone and beside them.

Each upload is 10 MiB of the smallest MP3 frames there are, the judge's worst ordinary case, and is refused as too long.
They are sent by a process of their own. `python benchmarks/uploads_beside_speech.py [--uploads N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from clone_cost import command, serve
from speech_first_byte import CONFIG, SpeechStage, first_byte_directly, first_byte_through

from kyma_proxy.database.access import open_database
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.settings import load_database_settings
from kyma_proxy.simulators.minimax import Behaviour, MiniMaxSimulator

WITH_CLONES = """
  - use: voice_clone
    config: {upstream: minimax, max_uploads_in_flight: 256}
routes:"""
SMALLEST_FRAME = b"\xff\xf3\x14\xc4" + bytes(20)
"""24 bytes: MPEG 2 layer III, 8 kbit/s at 24 kHz."""
RECORDING_BYTES = 10 * 1024 * 1024


async def upload(url: str, api_key: str, count: int) -> None:
    """Send so many recordings at once; each must be refused by the judge's word."""
    recording = SMALLEST_FRAME * (RECORDING_BYTES // len(SMALLEST_FRAME))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def one() -> None:
            form = aiohttp.FormData()
            form.add_field("file", recording, filename="long.mp3")
            headers = {"Authorization": f"Bearer {api_key}"}
            async with http.post(f"{url}/v1/audio/voice-clone", data=form, headers=headers) as answer:
                code = (await answer.json())["error"]["code"]
                if code != "reference_too_long":
                    raise SystemExit(f"an upload was answered {answer.status} {code}")

        await asyncio.gather(*(one() for _ in range(count)))


async def first_bytes_ms(first_byte: Callable[[], Awaitable[float]], until: asyncio.Task[int] | int) -> list[float]:
    """Times to the first byte, one speech after the other, so many or until a process has ended; sorted."""
    taken: list[float] = []
    while len(taken) < until if isinstance(until, int) else not until.done():
        taken.append(await first_byte() * 1000)
    return sorted(taken)


def tell(name: str, taken_ms: list[float]) -> None:
    """Print a row."""
    middle, late = taken_ms[len(taken_ms) // 2], taken_ms[min(len(taken_ms) - 1, len(taken_ms) * 99 // 100)]
    print(f"{name:<30} {middle:7.2f} ms median {late:8.2f} ms p99 {taken_ms[-1]:8.2f} ms worst  ({len(taken_ms)})")


async def measure(folder: Path, uploads: int) -> None:
    """Start everything, measure, print, stop."""
    config = folder / "gateway.yaml"
    async with MiniMaxSimulator(behaviour=Behaviour(stream_chunk_seconds=0.001)) as minimax:
        text = CONFIG.replace("\nroutes:", WITH_CLONES.replace("{", "{{").replace("}", "}}"))
        config.write_text(text.format(folder=folder, minimax=minimax.base_url))
        account = await command(config, "accounts", "create", "bench", "--credit", "25")
        gateway, url = await serve(config)
        try:
            async with (
                open_database(load_database_settings(config)) as (database, _),
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            ):
                stage = SpeechStage(http, gateway.pid, url, account["api_key"], minimax, database)
                await first_byte_through(stage)
                tell("speech alone", await first_bytes_ms(lambda: first_byte_through(stage), 300))
                for name, first_byte in (
                    (f"beside {uploads} uploads", first_byte_through),
                    ("  the provider itself, then", first_byte_directly),
                ):
                    arguments = ("--upload-to", url, "--api-key", account["api_key"], "--uploads", str(uploads))
                    sender = await asyncio.create_subprocess_exec(sys.executable, __file__, *arguments)
                    sent = asyncio.ensure_future(sender.wait())
                    tell(name, await first_bytes_ms(lambda: first_byte(stage), sent))  # noqa: B023 - used up within the turn
                    if await sent:
                        raise SystemExit("the uploads failed")
        finally:
            gateway.send_signal(signal.SIGTERM)
            await gateway.wait()


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--uploads", type=int, default=50, help="uploads at once (default 50)")
    parser.add_argument("--upload-to", help=argparse.SUPPRESS)
    parser.add_argument("--api-key", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.upload_to:
        asyncio.run(upload(arguments.upload_to, arguments.api_key, arguments.uploads))
        return
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.uploads))


if __name__ == "__main__":
    main()
