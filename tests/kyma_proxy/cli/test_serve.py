"""`kyma-proxy serve` and `migrate`."""

from __future__ import annotations

import signal
from pathlib import Path

from e2e_kit.processes import run, running
from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget


async def test_an_old_schema_is_refused_with_the_command_to_run(
    tmp_path: Path, postgres: object, environ: dict[str, str]
) -> None:
    target: DatabaseTarget = await postgres.create_database("template1")  # type: ignore[attr-defined]
    empty = {**environ, "TEST_DATABASE_URL": database_url(target)}
    refused = await run("accounts", "list", environ=empty)
    assert refused.code == 1
    assert "kyma-proxy migrate" in refused.err
    assert (await run("serve", environ=empty)).code == 1
    assert (await run("migrate", environ=empty)).code == 0
    assert (await run("accounts", "list", environ=empty)).code == 0
    await postgres.drop_database(target)  # type: ignore[attr-defined]


async def test_serve_migrates_an_external_database_when_told_to(postgres: object, environ: dict[str, str]) -> None:
    target: DatabaseTarget = await postgres.create_database("template1")  # type: ignore[attr-defined]
    text = Path(environ["KYMA_CONFIG"]).read_text()
    Path(environ["KYMA_CONFIG"]).write_text(text + 'server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}\n')
    async with running("serve", "--migrate", environ={**environ, "TEST_DATABASE_URL": database_url(target)}) as gateway:
        await gateway.event("serving")
        assert await gateway.end(signal.SIGTERM) == 0
    await postgres.drop_database(target)  # type: ignore[attr-defined]
