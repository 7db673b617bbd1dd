"""One port, one admin listener, one reload and one drain for several processes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from e2e_kit.processes import run
from workers_kit import Workers, kill, several


@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
async def test_the_numbers_are_those_of_what_was_sent_and_each_worker_has_its_part(
    tmp_path: Path, environ: dict[str, str], event_loop: str
) -> None:
    async with several(tmp_path, environ, server=f"event_loop: {event_loop}") as workers:
        assert await workers.ready() == 200
        over = asyncio.Event()
        loading = asyncio.ensure_future(workers.load(over, clients=16))
        await asyncio.sleep(1)
        over.set()
        ended = await loading
        assert set(ended) == {"401"}
        labels = {"method": "GET", "route": "/v1/audio/**"}
        assert await workers.value("kyma_requests_total", **labels, status="401") == ended["401"]
        assert await workers.value("kyma_request_seconds_count", route="/v1/audio/**") == ended["401"]
        assert await workers.value("kyma_requests_in_flight") == 0
        kill(workers.pids()[0])
        await workers.until("kyma_worker_restarts_total", 1)
        assert await workers.value("kyma_requests_total", **labels) == ended["401"], "the dead one's count stays"
        assert await workers.gateway.end(signal.SIGTERM) == 0


async def reload(workers: Workers) -> int:
    return (await run("reload", "--config", str(workers.config), environ={"TEST_DATABASE_URL": "postgresql://x"})).code


async def test_a_reload_reaches_every_worker_or_none_and_drops_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    async with several(tmp_path, environ) as workers:
        over = asyncio.Event()
        loading = asyncio.ensure_future(workers.load(over))
        text = workers.config.read_text()
        narrowed = text.replace('path: "/v1/audio/**"', 'path: "/v1/audio/voices"')
        workers.config.write_text(narrowed)
        assert await reload(workers) == 0
        assert await workers.forwards("/v1/audio/other") == {False}
        workers.config.write_text(text.replace("routes:", "rutes:"))
        assert await reload(workers) == 2
        assert await workers.value("kyma_config_last_reload_successful") == 0
        assert await workers.forwards("/v1/audio/other") == {False}
        # A worker that is replaced now starts with what is in use, not with what was refused.
        kill(workers.pids()[0])
        await workers.until("kyma_worker_restarts_total", 1)
        await workers.until("kyma_workers", 2)
        assert await workers.forwards("/v1/audio/other") == {False}
        workers.config.write_text(text)
        workers.gateway.process.send_signal(signal.SIGHUP)
        await workers.until("kyma_config_reloads_total", 3)
        assert await workers.value("kyma_config_reloads_total", outcome="reloaded") == 2
        assert await workers.forwards("/v1/audio/other") == {True}
        over.set()
        ended = await loading
        assert ended.total() - ended["401"] <= 6, ended  # those of the killed worker
        assert await workers.gateway.end(signal.SIGTERM) == 0


async def test_reloading_again_and_again_fails_no_request(tmp_path: Path, environ: dict[str, str]) -> None:
    async with several(tmp_path, environ) as workers:
        over = asyncio.Event()
        loading = asyncio.ensure_future(workers.load(over))
        for number in range(1, 5):
            workers.gateway.process.send_signal(signal.SIGHUP)
            await workers.until("kyma_config_reloads_total", number)
        over.set()
        ended = await loading
        assert set(ended) == {"401"}
        assert await workers.value("kyma_config_generations") == 1
        assert await workers.gateway.end(signal.SIGTERM) == 0


async def test_a_drain_ends_what_is_under_way_and_then_every_process(tmp_path: Path, environ: dict[str, str]) -> None:
    async with several(tmp_path, environ, server="drain_pause_seconds: 0.5") as workers:
        pids = workers.pids()
        asking = [asyncio.ensure_future(workers.get()) for _ in range(10)]
        workers.gateway.process.send_signal(signal.SIGTERM)
        await workers.gateway.wait_for('"event": "draining"')
        assert await workers.ready() == 503
        assert set(await asyncio.gather(*asking)) == {401}
        async with asyncio.timeout(20):
            assert await workers.gateway.process.wait() == 0
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                kill(pid, 0)


async def test_workers_end_with_their_supervisor(tmp_path: Path, environ: dict[str, str]) -> None:
    async with several(tmp_path, environ) as workers:
        pids = workers.pids()
        workers.gateway.process.kill()
        await workers.gateway.process.wait()
        async with asyncio.timeout(20):
            while any(Path(f"/proc/{pid}").exists() for pid in pids):
                await asyncio.sleep(0.05)
