"""A gateway of several workers in processes of its own, and what tests ask of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from e2e_kit.processes import Running, running
from kyma_proxy.simulators.origin import OriginSimulator

CONFIG = """version: 1
server:
  listen: "127.0.0.1:0"
  admin_listen: "127.0.0.1:{admin}"
  workers: {workers}
  drain_seconds: 5
  {server}
database: {{url: "${{TEST_DATABASE_URL}}"}}
upstreams: {{origin: {{adapter: forward, base_url: "{origin}"}}}}
routes: [{{path: "/v1/audio/**", upstream: origin}}]
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Workers:
    """A running gateway."""

    gateway: Running
    http: aiohttp.ClientSession
    config: Path
    port: int
    admin: int

    async def get(self, path: str = "/v1/audio/voices", **arguments: Any) -> int:
        """The status of a request on the data plane."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.http.get(url, **arguments) as answer:
            await answer.read()
            return answer.status

    async def forwards(self, path: str) -> set[bool]:
        """Whether requests to a path reach the origin, asked on many connections."""
        answers = set()
        for _ in range(20):
            url = f"http://127.0.0.1:{self.port}{path}"
            async with self.http.get(url, headers={"Connection": "close"}) as answer:
                answers.add("x-should-retry" not in answer.headers)
        return answers

    async def ready(self) -> int:
        """The status of `/readyz`."""
        async with self.http.get(f"http://127.0.0.1:{self.admin}/readyz") as answer:
            return answer.status

    async def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        async with self.http.get(f"http://127.0.0.1:{self.admin}/metrics") as answer:
            text = await answer.text()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def pids(self) -> list[int]:
        """The workers' process ids, the newest of each."""
        newest: dict[int, int] = {}
        for line in self.gateway.lines:
            if '"event": "worker_serving"' in line:
                fields = json.loads(line)
                newest[fields["worker"]] = fields["pid"]
        return list(newest.values())

    async def load(self, over: asyncio.Event, clients: int = 6) -> Counter[str]:
        """Requests on new connections until it is `over`: how many ended how."""
        ended: Counter[str] = Counter()

        async def ask() -> None:
            while not over.is_set():
                try:
                    ended[str(await self.get(headers={"Connection": "close"}))] += 1
                except aiohttp.ClientError as error:
                    ended[type(error).__name__] += 1

        await asyncio.gather(*(ask() for _ in range(clients)))
        return ended

    async def until(self, name: str, at_least: float, seconds: float = 30) -> None:
        """Wait until a metric has reached a value."""
        async with asyncio.timeout(seconds):
            while await self.value(name) < at_least:
                await asyncio.sleep(0.05)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to one process that the test started."""
    os.kill(pid, number)


@asynccontextmanager
async def several(
    folder: Path, environ: dict[str, str], *, workers: int = 2, server: str = ""
) -> AsyncIterator[Workers]:
    """Run a gateway of so many workers in front of a simulated origin."""
    config, admin = folder / "workers.yaml", free_port()
    async with OriginSimulator() as origin:
        config.write_text(CONFIG.format(admin=admin, workers=workers, server=server, origin=origin.base_url))
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            running("serve", "--config", str(config), environ=environ) as gateway,
            aiohttp.ClientSession(connector=connector) as http,
        ):
            serving = await gateway.event("serving")
            yield Workers(gateway, http, config, serving["port"], admin)
