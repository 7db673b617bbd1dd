"""`kyma-proxy dev`: one command, and every line that it prints works when pasted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from mutagen.mp3 import MP3

from e2e_kit.processes import Running, running
from postgres_kit.processes import is_running

REPOSITORY = Path(__file__).parent.parent.parent.parent


def printed_commands(lines: list[str]) -> list[str]:
    """The indented lines to paste, continuation lines joined."""
    text = re.sub(r" \\\n\s+", " ", "".join(lines))
    pattern = r"  (\S*=\S+ )*(curl|\S*kyma-proxy) "
    return [line.strip() for line in text.splitlines() if re.match(pattern, line)]


async def paste(command: str) -> str:
    """Run a printed line in a shell of its own, where the user would; what it printed. Fails if the line does."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{command}: {err.decode()}"
    return out.decode()


def descendants(pid: int) -> set[int]:
    """Every process below this one, and every process that runs in a session of its own but was started by it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {pid}


async def start(dev: Running) -> list[str]:
    await dev.wait_for("Ctrl-C stops everything")
    return printed_commands(dev.lines)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_printed_line_works_and_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    data_dir = tmp_path / "data"
    options = ("--port", "0", "--admin-port", "0", "--data-dir", str(data_dir))
    environ = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    async with running("dev", *options, environ=environ, cwd=REPOSITORY) as dev:
        commands = await start(dev)
        outputs = [(command, await paste(command)) for command in commands]
        keyed = next(command for command in commands if "Idempotency-Key" in command)
        assert await paste(keyed) == output(outputs, "Idempotency-Key"), "the same voice, charged once"
        check_money_and_voice(outputs)
        check_speech(outputs, data_dir)
        check_library(outputs)
        assert "kyma_requests_total" in output(outputs, "/metrics")
        assert "ready" in output(outputs, "/readyz")
        family = descendants(dev.process.pid)
        postmaster = int((data_dir_of(data_dir) / "postmaster.pid").read_text().split()[0])
        assert is_running(postmaster)
        assert await dev.end(signal.SIGINT) == 0
        await gone({*family, postmaster})


def output(outputs: list[tuple[str, str]], *parts: str) -> str:
    """What the one line with all of these parts printed."""
    (found,) = [out for command, out in outputs if all(part in command for part in parts)]
    return found


def check_money_and_voice(outputs: list[tuple[str, str]]) -> None:
    voice = json.loads(output(outputs, "name=demo").strip())
    assert re.fullmatch(r"kyma_[0-9a-f]{16}", voice["voice_id"])
    assert (voice["cost_usd"], voice["balance_usd"]) == (2.1, 22.9)
    designed = json.loads(output(outputs, "lighthouse").strip())
    assert (designed["cost_usd"], designed["balance_usd"]) == (4.2, 16.6)
    balance = re.search(r"balance_usd +([\d.]+)", output(outputs, "accounts show"))
    assert balance is not None
    assert 16.58 < float(balance[1]) < 16.6, "three voices and some speech"
    priced = output(outputs, "priced.mp3")
    assert "X-Kyma-Chars-Billed: 20" in priced
    assert "X-Kyma-Cost-USD: 0.00168" in priced
    assert voice["voice_id"] in output(outputs, "voices list")
    assert "no problems" in output(outputs, "ledger audit")


def check_speech(outputs: list[tuple[str, str]], data_dir: Path) -> None:
    assert output(outputs, "/speech.mp3").strip() == ""
    assert MP3(data_dir / "speech.mp3").info.length == pytest.approx(len("Hello from Kyma.") / 15, abs=0.1)
    moments = re.search(r"first byte after ([\d.]+) s, last after ([\d.]+) s", output(outputs, "streamed.mp3"))
    assert moments is not None
    first, last = float(moments[1]), float(moments[2])
    assert first < last / 2
    assert MP3(data_dir / "streamed.mp3").info.length > 5
    refused, status = output(outputs, "This is not my voice").strip().rsplit(" ", 1)
    assert (json.loads(refused)["error"]["code"], status) == ("voice_not_owned", "403")
    assert json.loads(output(outputs, "/v1/audio/voices -H"))["object"] == "list"


def check_library(outputs: list[tuple[str, str]]) -> None:
    first, last = [json.loads(out)["data"] for command, out in outputs if "scope=mine" in command]
    assert {voice["name"] for voice in first} == {"demo", "once", "keeper", "ready-made", "spare"}
    assert sum(voice["expires_at"] is not None for voice in first) == 4, "one has spoken"
    assert all(voice["state"] == "active" and voice["expires_at"] is None for voice in last)
    assert sum(voice["kept_alive_at"] is not None for voice in last) == 4
    assert json.loads(output(outputs, "PATCH"))["name"] == "Narrator"
    assert "kept    4" in output(outputs, "keep-alive")
    assert "keep_alive" in output(outputs, "voices costs")
    assert json.loads(output(outputs, "DELETE"))["deleted"] is True


async def gone(pids: set[int]) -> None:
    """Fails unless every process has ended within two seconds."""
    async with asyncio.timeout(2):
        while any(is_running(pid) for pid in pids):
            await asyncio.sleep(0.02)


def data_dir_of(data_dir: Path) -> Path:
    """Where the server's files are: below the data directory, or where it says they were put."""
    found = list(data_dir.rglob("postmaster.pid"))
    if found:
        return found[0].parent
    return Path((data_dir / "postgres" / "place").read_text().strip()) / "cluster"


async def test_killing_it_takes_the_database_with_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    options = ("--port", "0", "--admin-port", "0", "--data-dir", str(data_dir))
    async with running("dev", *options, cwd=REPOSITORY) as dev:
        await start(dev)
        postmaster = int((data_dir_of(data_dir) / "postmaster.pid").read_text().split()[0])
        dev.process.kill()
        await dev.process.wait()
        async with asyncio.timeout(5):
            while is_running(postmaster):
                await asyncio.sleep(0.02)


async def test_accounts_are_kept_across_restarts(tmp_path: Path) -> None:
    options = ("--port", "0", "--admin-port", "0", "--data-dir", str(tmp_path / "data"))
    for count in (2, 4):
        async with running("dev", *options, cwd=REPOSITORY) as dev:
            commands = await start(dev)
            audit = next(command for command in commands if "ledger audit" in command)
            assert json.loads(await paste(f"{audit} --json"))["accounts"] == count
            assert await dev.end(signal.SIGTERM) == 0
