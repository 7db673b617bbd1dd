"""An account's places are the same in every worker: two processes never serve more of it than one would."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from e2e_kit.processes import run, running
from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget
from workers_kit import free_port

CONFIG = """version: 1
server:
  listen: "127.0.0.1:0"
  admin_listen: "127.0.0.1:{admin}"
  workers: 2
  drain_seconds: 5
  max_waiting_per_account: 200
  max_waiting_seconds: 30
database: {{url: "${{TEST_DATABASE_URL}}"}}
upstreams: {{origin: {{adapter: forward, base_url: "http://127.0.0.1:{port}", max_requests_per_account: {limit}}}}}
plugins: [{{use: api_key_auth}}, {{use: voice_ownership}}]
routes: [{{path: "/v1/audio/**", upstream: origin}}]
"""
SPEECH = {"model": "eleven-v3", "input": "Mind the gap.", "voice": "Rachel"}


class Origin:
    """Takes a while over each request, and knows how many there were at once."""

    def __init__(self) -> None:
        self.now = self.most = self.served = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        self.served += 1
        return web.Response(body=b"audio")


@pytest.mark.parametrize("limit", [1])
async def test_two_workers_serve_no_more_of_an_account_than_its_limit(
    database_target: DatabaseTarget, tmp_path: Path, limit: int
) -> None:
    origin, admin = Origin(), free_port()
    server = await asyncio.get_running_loop().create_server(web.Server(origin.answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG.format(admin=admin, port=port, limit=limit))
    environ = {"TEST_DATABASE_URL": database_url(database_target)}
    keys = [
        (await run("accounts", "create", name, "--json", "--config", str(config), environ=environ)).fields["api_key"]
        for name in ("greedy", "modest")
    ]
    async with running("serve", "--config", str(config), environ=environ) as gateway:
        url = f"http://127.0.0.1:{(await gateway.event('serving'))['port']}/v1/audio/speech"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http:

            async def speak(key: str) -> int:
                async with http.post(url, json=SPEECH, headers={"Authorization": f"Bearer {key}"}) as answer:
                    await answer.read()
                    return answer.status

            assert set(await asyncio.gather(*(speak(keys[0]) for _ in range(60)))) == {200}
            assert origin.most == limit, "never more, and all of the places were used"
            origin.most = 0
            both = await asyncio.gather(*(speak(key) for key in keys for _ in range(20)))
            assert set(both) == {200}
            assert limit < origin.most <= 2 * limit
        assert origin.served == 100
        assert await gateway.end(signal.SIGTERM) == 0
    server.close()
