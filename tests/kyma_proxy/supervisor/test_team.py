"""Workers that die are replaced, and none of the others notices."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from e2e_kit.processes import run
from workers_kit import CONFIG, free_port, kill, several


async def test_a_killed_worker_is_replaced_and_new_connections_wait_for_nobody(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    async with several(tmp_path, environ) as workers:
        over = asyncio.Event()
        loading = asyncio.ensure_future(workers.load(over))
        await asyncio.sleep(0.5)
        victim = workers.pids()[0]
        kill(victim)
        await workers.until("kyma_worker_restarts_total", 1)
        await workers.until("kyma_workers", 2)
        over.set()
        ended = await loading
        # Only what the killed one had in its hands can have failed: six clients ask at once.
        assert ended["401"] > 50
        assert ended.total() - ended["401"] <= 6, ended
        assert victim not in workers.pids()
        assert await workers.gateway.end(signal.SIGTERM) == 0


async def test_a_worker_that_cannot_start_ends_the_gateway_with_its_exit_code(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        CONFIG.format(admin=free_port(), workers=2, server="", origin="http://127.0.0.1:1").replace(
            "${TEST_DATABASE_URL}", "postgresql://nobody@127.0.0.1:1/none"
        )
    )
    ran = await run("serve", "--config", str(config), environ=environ)
    assert ran.code == 1
    assert "database" in ran.err
