"""What judging a recording costs: processor time and memory beside the upload, for honest and for hostile files.

Everything is 10 MiB, or as near to it as its kind gets. `make bench`, or, with `tests/support` on the path,
`python benchmarks/judge_cost.py [--runs N]`.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Mapping

from audio_fuzz.hostile import HOSTILE, LARGEST
from kyma_proxy.errors import GatewayError
from kyma_proxy.testing.audio import silent_m4a, silent_mp3, silent_wav
from kyma_voice_clone.audio.judge import judge

HONEST: Mapping[str, Callable[[], bytes]] = {
    "WAV, five minutes": lambda: silent_wav(300, rate_hz=16_000),
    "MP3, five minutes": lambda: silent_mp3(300),
    "MP3 without a header, five minutes": lambda: silent_mp3(300, info_header=False),
    "M4A, five minutes": lambda: silent_m4a(300),
    "M4A, index last, five minutes": lambda: silent_m4a(300, index_last=True),
    "M4A, fragmented, five minutes": lambda: silent_m4a(300, fragmented=True),
}


def verdict(data: memoryview) -> str:
    """What the judge says, in a word."""
    try:
        return f"{float(judge(data).duration):.1f} s"
    except GatewayError as error:
        return error.code.name.lower()


def measure(name: str, data: bytes, runs: int) -> tuple[float, int]:
    """Print a row; milliseconds of processor time at the 99th percentile, and bytes beside the recording."""
    view = memoryview(data)
    taken_ms = []
    for _ in range(runs):
        started = time.thread_time()
        said = verdict(view)
        taken_ms.append((time.thread_time() - started) * 1000)
    taken_ms.sort()
    tracemalloc.start()
    verdict(view)
    extra = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    p99_ms = taken_ms[min(runs - 1, runs * 99 // 100)]
    size = len(data) / 1024 / 1024
    print(f"{name:<38} {size:5.1f} MiB {taken_ms[runs // 2]:8.1f} ms {p99_ms:8.1f} ms {extra / 1024:7.0f} KiB  {said}")
    return p99_ms, extra


def main() -> None:
    """Measure all and print the worst beside the aims."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=30, help="judgements of each file (default 30)")
    runs = parser.parse_args().runs
    print(f"{'':<38} {'size':>9} {'median':>11} {'p99':>11} {'memory':>11}  said")
    honest = [measure(name, make(), runs) for name, make in HONEST.items()]
    hostile = [measure(name, make()[:LARGEST], runs) for name, make in HOSTILE.items()]
    print(f"slowest honest file   {max(ms for ms, _ in honest):6.1f} ms (aim: under 20)")
    print(f"slowest hostile file  {max(ms for ms, _ in hostile):6.1f} ms (aim: under 150)")
    print(f"most memory           {max(extra for _, extra in honest + hostile) / 1024:6.0f} KiB (aim: under 1024)")


if __name__ == "__main__":
    main()
