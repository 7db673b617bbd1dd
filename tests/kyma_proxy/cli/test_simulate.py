import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from click.testing import CliRunner

from kyma_proxy.cli import main
from kyma_proxy.simulators.minimax import MiniMaxSimulator

MINIMAX = ("simulate", "minimax")
ORIGIN = ("simulate", "origin")


@asynccontextmanager
async def running(command: Sequence[str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The command as a process of its own on a free port, and the first line it says."""
    arguments = ("-m", "kyma_proxy", *command, "--port", "0")
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process, (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_origin_alone_answers_and_ends_on_ctrl_c() -> None:
    async with running(ORIGIN) as (process, said), ClientSession() as session:
        url = said.split()[0]
        async with session.get(f"{url}/v1/audio/voices", headers={"Authorization": "Bearer ky-x"}) as reply:
            assert (reply.status, reply.headers["Server"]) == (200, "kyma-origin")
        async with session.post(f"{url}/_simulator/faults", json={"http_status": 502}) as reply:
            assert reply.status == 200
        async with session.get(f"{url}/v1/audio/voices") as reply:
            assert (reply.status, reply.content_type) == (502, "text/html")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_provider_alone_says_its_key_and_ends_on_sigterm() -> None:
    async with running(MINIMAX) as (process, said), ClientSession() as session:
        url, key = said.split()[0], said.split()[-1]
        headers = {"Authorization": f"Bearer {key}"}
        async with session.post(f"{url}/v1/get_voice", json={"voice_type": "all"}, headers=headers) as reply:
            assert (await reply.json())["base_resp"]["status_code"] == 0
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0

    assert key == MiniMaxSimulator().api_key


@pytest.mark.parametrize("command", [MINIMAX, ORIGIN])
def test_a_port_is_needed_and_must_be_one(command) -> None:
    assert CliRunner().invoke(main, command).exit_code == 2
    assert CliRunner().invoke(main, [*command, "--port", "65536"]).exit_code == 2


def test_a_taken_port_is_said_with_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(main, [*ORIGIN, "--port", str(taken.getsockname()[1])])

    assert result.exit_code == 1
    assert "in use" in result.output
