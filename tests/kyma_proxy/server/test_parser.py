"""A gateway does not start on aiohttp's parser in Python by accident."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from aiohttp import http_parser

from e2e_kit.processes import run, running
from e2e_kit.world import database_url
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.server.parser import require_c_parser
from kyma_proxy.settings import ConfigError, Settings, load_settings

WITHOUT_C = {"AIOHTTP_NO_EXTENSIONS": "1"}


def settings(folder: Path, server: str) -> Settings:
    """Settings with this line as `server`."""
    path = folder / "gateway.yaml"
    path.write_text(f"version: 1\nserver: {server}\n")
    return load_settings(path, plugins=InstalledPlugins(), environ={})


def test_the_parser_in_c_is_what_the_tests_run_on(tmp_path: Path) -> None:
    assert http_parser.HttpRequestParser is http_parser.HttpRequestParserC
    require_c_parser(settings(tmp_path, "{}"))


@pytest.mark.parametrize("server", ["{}", "{allow_python_parser: false}"])
def test_the_parser_in_python_is_refused(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(
        ConfigError, match=r"gateway.yaml:2:\d+: aiohttp runs on its parser in Python.* unset AIOHTTP_NO"
    ):
        require_c_parser(settings(tmp_path, server))


def test_it_may_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    require_c_parser(settings(tmp_path, "{allow_python_parser: true}"))


async def test_serve_and_check_say_so_and_the_switch_helps(tmp_path: Path, database_target: DatabaseTarget) -> None:
    path = tmp_path / "gateway.yaml"
    text = 'version: 1\ndatabase: {url: "${TEST_DATABASE_URL}"}\n'
    text += 'server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"'
    environ = {**WITHOUT_C, "KYMA_CONFIG": str(path), "TEST_DATABASE_URL": database_url(database_target)}
    path.write_text(text + "}\n")
    served, checked = await run("serve", environ=environ), await run("check", environ=environ)
    assert (served.code, checked.code) == (2, 2)
    for said in (served.err, checked.out):
        assert said.startswith(f"{path}:3:")
        assert "install a wheel of aiohttp" in said
        assert "server.allow_python_parser: true" in said
    path.write_text(text + ", allow_python_parser: true}\n")
    assert (await run("check", environ=environ)).code == 0
    async with running("serve", environ=environ) as gateway:
        await gateway.event("serving")
        assert await gateway.end(signal.SIGTERM) == 0
