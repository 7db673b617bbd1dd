"""A plugin in a package of its own works from YAML alone: nothing in the core knows it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

from e2e_kit.processes import run, running
from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "acme-office-hours"
version = "1.0"
[project.entry-points."kyma_proxy.plugins"]
office_hours = "acme_office_hours:OfficeHours"
[tool.setuptools]
packages = ["acme_office_hours"]
"""

PLUGIN = '''
"""Speech only while the office is open; says who asked."""
from pydantic import Field
from kyma_proxy.api import Endpoint, ErrorCode, Flow, GatewayError, Plugin, PluginConfig, Proceed, Reply


class Config(PluginConfig):
    is_open: bool = Field(description="Whether the office is open.")


class OfficeHours(Plugin[Config]):
    name = "office_hours"
    config_model = Config
    endpoints = (Endpoint("/v1/audio/sfx", frozenset({"POST"})),)
    needs = frozenset({"identity"})

    async def start(self) -> None:
        self.greeting = "open"

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        if not self.config.is_open:
            raise GatewayError(ErrorCode.UNAVAILABLE, "The office is closed.")
        return Reply.json(b'{"office":"%s"}' % self.greeting.encode(), {"X-Account": flow.identity.account_id})
'''

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}}
database: {{url: "${{TEST_DATABASE_URL}}"}}
upstreams:
  origin: {{adapter: forward, base_url: "http://127.0.0.1:9"}}
plugins:
  - use: api_key_auth
  - use: office_hours
    config: {{{config}}}
routes:
  - {{path: "/v1/audio/**", upstream: origin}}
"""


async def install(folder: Path) -> Path:
    """Install the package with pip, away from the environment that the tests run in."""
    source = folder / "source"
    (source / "acme_office_hours").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "acme_office_hours" / "__init__.py").write_text(PLUGIN)
    target = folder / "installed"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--disable-pip-version-check", "--target", str(target), str(source)),
    )
    assert await process.wait() == 0
    return target


async def test_it_is_guarded_configured_and_served_from_yaml(tmp_path: Path, database_target: DatabaseTarget) -> None:
    installed = await install(tmp_path)
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(config="is_open: true"))
    environ = {
        "TEST_DATABASE_URL": database_url(database_target),
        "PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]),
        "KYMA_CONFIG": str(path),
    }
    assert (await run("check", environ=environ)).code == 0
    explained = await run("explain", "POST", "/v1/audio/sfx", "--json", environ=environ)
    assert explained.fields["plugins"] == ["api_key_auth", "office_hours"]
    account = (await run("accounts", "create", "Ada", "--json", environ=environ)).fields
    async with running("serve", environ=environ) as gateway:
        port = (await gateway.event("serving"))["port"]
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}/v1/audio/sfx"
            async with http.post(url) as refused:
                assert refused.status == 401
            async with http.post(url, headers={"Authorization": f"Bearer {account['api_key']}"}) as answer:
                assert (answer.status, await answer.json()) == (200, {"office": "open"})
                assert answer.headers["X-Account"] == account["account_id"]
        assert await gateway.end(signal.SIGTERM) == 0


async def test_its_config_is_checked_like_our_own(tmp_path: Path) -> None:
    installed = await install(tmp_path)
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(config="is_opne: true"))
    environ: dict[str, Any] = {"TEST_DATABASE_URL": "embedded", "PYTHONPATH": str(installed)}
    checked = await run("check", "--config", str(path), environ=environ)
    assert checked.code == 2
    assert f"{path}:10:14: unknown key" in checked.out
    assert "is_open" in checked.out


async def test_installing_it_activates_nothing(tmp_path: Path) -> None:
    installed = await install(tmp_path)
    path = tmp_path / "gateway.yaml"
    text = CONFIG.format(config="is_open: true")
    path.write_text(text.replace("  - use: office_hours\n    config: {is_open: true}\n", ""))
    environ = {"TEST_DATABASE_URL": "embedded", "PYTHONPATH": str(installed)}
    explained = await run("explain", "POST", "/v1/audio/sfx", "--json", "--config", str(path), environ=environ)
    assert (explained.fields["plugins"], explained.fields["upstream"]) == ([], "origin")
