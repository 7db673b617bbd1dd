"""The data listener over TLS, with real curl; and what a balancer sees while a gateway leaves."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e_kit.processes import run, running
from e2e_kit.world import CONFIG, database_url
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.simulators.origin import OriginSimulator

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tls"


def _config(tmp_path: Path, target: DatabaseTarget, origin: OriginSimulator, server: str) -> Path:
    path = tmp_path / "gateway.yaml"
    text = CONFIG.format(
        server=server,
        clone="",
        ownership="",
        plugins="",
        minimax="http://127.0.0.1:9",
        key="k",
        minimax_extra="",
        origin=origin.base_url,
    )
    path.write_text(text.replace("${TEST_DATABASE_URL}", database_url(target)))
    return path


async def _curl(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec("curl", "-sS", *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_clients_speak_tls_and_the_origin_is_told(tmp_path: Path, database_target: DatabaseTarget) -> None:
    for name in ("crt", "key"):
        shutil.copy(FIXTURES / f"one.{name}", tmp_path / f"tls.{name}")
    server = f"tls: {{certificate: {tmp_path}/tls.crt, key: {tmp_path}/tls.key}}"
    async with OriginSimulator() as origin:
        config = _config(tmp_path, database_target, origin, server)
        async with running("serve", "--config", str(config)) as gateway:
            port = (await gateway.event("serving"))["port"]
            url = f"https://localhost:{port}/v1/audio/voices"
            code, body = await _curl("--cacert", str(FIXTURES / "one.crt"), "-H", "Authorization: Bearer k", url)
            assert (code, '"object"' in body) == (0, True)
            assert dict(origin.calls[-1].headers)["X-Forwarded-Proto"] == "https"
            for name in ("crt", "key"):
                shutil.copy(FIXTURES / f"two.{name}", tmp_path / f"tls.{name}")
            await gateway.event("certificate_reloaded", seconds=20)
            code, body = await _curl("--cacert", str(FIXTURES / "two.crt"), "-H", "Authorization: Bearer k", url)
            assert (code, '"object"' in body) == (0, True)
            assert await gateway.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("command", ["check", "serve"])
async def test_a_certificate_that_cannot_be_used_is_bad_configuration(
    tmp_path: Path, database_target: DatabaseTarget, command: str
) -> None:
    async with OriginSimulator() as origin:
        config = _config(tmp_path, database_target, origin, "tls: {certificate: no.crt, key: no.key}")
        ran = await run(command, "--config", str(config))
    assert ran.code == 2
    assert f"{config}:3:" in ran.out + ran.err
    assert "no.crt" in ran.out + ran.err


async def test_a_balancer_gets_time_to_see_that_the_gateway_leaves(
    tmp_path: Path, database_target: DatabaseTarget
) -> None:
    async with OriginSimulator() as origin, aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as http:
        config = _config(tmp_path, database_target, origin, "drain_pause_seconds: 1.5")
        async with running("serve", "--config", str(config)) as gateway:
            serving: dict[str, Any] = await gateway.event("serving")
            gateway.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                while True:
                    async with http.get(f"http://127.0.0.1:{serving['admin_port']}/readyz") as ready:
                        if ready.status == 503:
                            assert "draining" in await ready.text()
                            break
            async with http.get(f"http://127.0.0.1:{serving['port']}/v1/audio/voices") as answer:
                assert answer.status == 200, "who has not heard yet is still served"
            async with asyncio.timeout(20):
                assert await gateway.process.wait() == 0
