"""Starting and stopping the real process: refusals at start, draining at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e_kit.processes import run, running
from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.sample import sample_recording

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", drain_seconds: {drain}}}
database: {{url: "${{TEST_DATABASE_URL}}"}}
upstreams:
  minimax: {{adapter: minimax, base_url: "{minimax}", api_key: "sk-api-simulated"}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {{upstream: minimax}}
"""


@pytest.fixture
async def minimax() -> Any:
    async with MiniMaxSimulator() as simulator:
        yield simulator


@pytest.fixture
def environ(tmp_path: Path, database_target: DatabaseTarget, minimax: MiniMaxSimulator) -> dict[str, str]:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(minimax=minimax.base_url, drain=20))
    return {"KYMA_CONFIG": str(path), "TEST_DATABASE_URL": database_url(database_target)}


async def test_a_drain_waits_for_a_clone_and_for_an_upload_in_flight(
    environ: dict[str, str], minimax: MiniMaxSimulator
) -> None:
    account = (await run("accounts", "create", "Ada", "--credit", "25", "--json", environ=environ)).fields
    minimax.behaviour = minimax.behaviour.model_copy(update={"clone_seconds": 0.8})
    headers = {"Authorization": f"Bearer {account['api_key']}"}
    async with running("serve", environ=environ) as gateway, aiohttp.ClientSession() as http:
        started = await gateway.event("serving")
        url = f"http://127.0.0.1:{started['port']}/v1/audio/voice-clone"
        readyz = f"http://127.0.0.1:{started['admin_port']}/readyz"
        async with http.get(readyz) as ready:
            assert ready.status == 200
        sending, upload_half_sent = asyncio.Event(), asyncio.Event()

        async def slow_body() -> Any:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            yield sample_recording()[:50_000]
            upload_half_sent.set()
            await sending.wait()
            yield sample_recording()[50_000:] + b"\r\n--b--\r\n"

        async def clone(**arguments: Any) -> tuple[int, Any]:
            async with http.post(url, **arguments) as response:
                return response.status, await response.json()

        multipart = {**headers, "Content-Type": "multipart/form-data; boundary=b"}
        loop = asyncio.get_running_loop()
        uploading = loop.create_task(clone(data=slow_body(), headers=multipart))
        form = aiohttp.FormData()
        form.add_field("file", sample_recording(), filename="a.mp3")
        cloning = loop.create_task(clone(data=form, headers=headers))
        await minimax.wait_for_call("/v1/voice_clone")
        await upload_half_sent.wait()
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.event("draining")
        async with http.get(readyz) as ready:
            assert ready.status == 503
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with aiohttp.ClientSession() as fresh, fresh.post(url, headers=headers) as refused:
                pytest.fail(f"a new connection was served: {refused.status}")
        sending.set()
        assert [status for status, _ in await asyncio.gather(cloning, uploading)] == [200, 200]
        async with asyncio.timeout(15):
            assert await gateway.process.wait() == 0
    audit = await run("ledger", "audit", "--json", environ=environ)
    assert (audit.code, audit.fields["open_holds"], audit.fields["problems"]) == (0, 0, [])
    shown = await run("accounts", "show", account["account_id"], "--json", environ=environ)
    assert shown.fields["balance_usd"] == 20.8


async def test_a_process_without_work_ends_at_once(environ: dict[str, str]) -> None:
    async with running("serve", environ=environ) as gateway:
        await gateway.event("serving")
        assert await gateway.end(signal.SIGTERM, seconds=5) == 0


async def test_every_request_leaves_one_json_line_with_its_reason_and_no_secret(environ: dict[str, str]) -> None:
    account = (await run("accounts", "create", "Ada", "--json", environ=environ)).fields
    async with running("serve", environ=environ) as gateway, aiohttp.ClientSession() as http:
        port = (await gateway.event("serving"))["port"]
        headers = {"Authorization": f"Bearer {account['api_key']}", "X-Request-Id": "from-the-client"}
        async with http.post(f"http://127.0.0.1:{port}/v1/audio/voice-clone?canary=1", headers=headers) as answer:
            assert (answer.status, answer.headers["X-Request-Id"]) == (400, "from-the-client")
        line = await gateway.event("request")
        assert await gateway.end(signal.SIGTERM) == 0
    assert (line["request_id"], line["account_id"]) == ("from-the-client", account["account_id"])
    assert (line["status"], line["reason"], line["plugin"], line["code"]) == (
        400,
        "refused",
        "voice_clone",
        "invalid_request",
    )
    text = "".join(gateway.lines)
    assert account["api_key"] not in text
    assert "sk-api-simulated" not in text
    assert "canary" not in text
    assert all(json.loads(each) for each in gateway.lines)


async def test_a_port_that_is_taken_is_said_and_exit_1(environ: dict[str, str], tmp_path: Path) -> None:
    blocker = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = blocker.sockets[0].getsockname()[1]
    text = (
        Path(environ["KYMA_CONFIG"])
        .read_text()
        .replace('listen: "127.0.0.1:0", admin', f'listen: "127.0.0.1:{port}", admin')
    )
    Path(environ["KYMA_CONFIG"]).write_text(text)
    ran = await run("serve", environ=environ)
    assert ran.code == 1
    assert str(port) in ran.err
    blocker.close()


async def test_money_is_waited_for_longer_than_requests(environ: dict[str, str], minimax: MiniMaxSimulator) -> None:
    account = (await run("accounts", "create", "Ada", "--credit", "25", "--json", environ=environ)).fields
    config = Path(environ["KYMA_CONFIG"])
    config.write_text(config.read_text().replace("drain_seconds: 20", "drain_seconds: 0.2"))
    minimax.behaviour = minimax.behaviour.model_copy(update={"clone_seconds": 2})
    async with running("serve", environ=environ) as gateway, aiohttp.ClientSession() as http:
        port = (await gateway.event("serving"))["port"]
        form = aiohttp.FormData()
        form.add_field("file", sample_recording(), filename="a.mp3")
        headers = {"Authorization": f"Bearer {account['api_key']}"}
        url = f"http://127.0.0.1:{port}/v1/audio/voice-clone"
        cloning = asyncio.get_running_loop().create_task(http.post(url, data=form, headers=headers))
        await minimax.wait_for_call("/v1/voice_clone")
        assert await gateway.end(signal.SIGTERM, seconds=15) == 0
        with contextlib.suppress(aiohttp.ClientConnectionError):
            await cloning
    audit = (await run("ledger", "audit", "--json", environ=environ)).fields
    assert (audit["open_holds"], audit["problems"]) == (0, [])
    shown = await run("accounts", "show", account["account_id"], "--json", environ=environ)
    assert shown.fields["balance_usd"] == 22.9
    (voice,) = (await run("voices", "list", "--json", environ=environ)).fields["voices"]
    assert voice["status"] == "active"
