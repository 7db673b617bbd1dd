from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kyma_proxy.database import keeper
from kyma_proxy.database.private import open_lock, try_shared


def _order(folder: Path, program: str, **changed: Any) -> dict[str, Any]:
    order = {
        "command": ["/bin/sh", "-c", program],
        "cluster": str(folder),
        "holders": str(folder / "holders"),
        "lock": 0,
        "log": str(folder / "log"),
        "user": None,
        "scratch": None,
    }
    return order | changed


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    holding = open_lock(tmp_path / "holders")
    assert try_shared(holding)
    (tmp_path / "scratch").mkdir()
    order = _order(tmp_path, "echo out of luck >&2; exit 3", scratch=str(tmp_path / "scratch"))
    ran = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, json.dumps(order)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        start_new_session=True,
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.strip() == "PostgreSQL did not start: out of luck"
    assert (tmp_path / "log").read_text() == "out of luck\n"
    for _ in range(100):
        if not (tmp_path / "scratch").exists():
            break
        time.sleep(0.02)
    assert not (tmp_path / "scratch").exists()
    os.close(holding)


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_LOG_MAX_BYTES", 1000)
    reading, writing = os.pipe()
    log = keeper.Log(str(tmp_path / "log"), reading)
    for number in range(100):
        os.write(writing, b"%03d" % number + b"x" * 96 + b"\n")
        log.wait(1)
    os.close(writing)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["log", "log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2200
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("099")
    assert log.tail.endswith(b"x\n")
    assert len(log.tail) <= 800
    os.close(reading)


def test_a_full_disk_does_not_end_the_keeper(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = keeper.Log(str(tmp_path / "no folder/log"), reading)
    os.write(writing, b"said")
    log.wait(1)
    assert log.tail == b"said"
    os.close(writing)
    os.close(reading)


def test_a_closed_pipe_is_no_busy_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    waits: list[float] = []
    real = select.select

    def counted(read: Any, write: Any, error: Any, seconds: float) -> Any:
        waits.append(seconds)
        return real(read, write, error, 0)

    monkeypatch.setattr(keeper.select, "select", counted)
    keeper.Log(str(tmp_path / "log"), reading).wait(0.5)
    assert waits == [0.5, 0.5]
    os.close(reading)


@pytest.mark.parametrize("pid", ["999999999", "-999999999", str(os.getpid())], ids=["none", "negative", "ours"])
def test_a_pid_file_of_a_server_that_is_gone_is_removed(tmp_path: Path, pid: str) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{pid}\n")
    keeper.remove_stale_pid_file(str(tmp_path))
    assert not (tmp_path / "postmaster.pid").exists()


def test_a_pid_file_of_a_server_that_lives_is_kept(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "30"], cwd=tmp_path) as server:
        (tmp_path / "postmaster.pid").write_text(f"{server.pid}\n")
        keeper.remove_stale_pid_file(str(tmp_path))
        assert (tmp_path / "postmaster.pid").exists()
        server.kill()


@pytest.mark.parametrize("text", ["", "no number\n"])
def test_a_pid_file_that_says_nothing_is_left_to_postgresql(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    keeper.remove_stale_pid_file(str(tmp_path))
    assert (tmp_path / "postmaster.pid").read_text() == text
    keeper.remove_stale_pid_file(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("first", "status", "ready"), [("12", "ready   ", True), ("12", "starting", False), ("13", "ready", False)]
)
def test_ready_is_what_this_server_wrote(tmp_path: Path, first: str, status: str, ready: bool) -> None:
    assert not keeper.is_ready(str(tmp_path), 12)
    (tmp_path / "postmaster.pid").write_text(f"{first}\n/data\n0\n5432\n/run\n\n0 0\n{status}\n")
    assert keeper.is_ready(str(tmp_path), 12) is ready


# The child replaces itself at once, so the threads of this process do not matter.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_server_that_does_not_obey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_STOP_STEPS", [(sent, min(polls, 10)) for sent, polls in keeper._STOP_STEPS])
    order = keeper.Order(json.dumps(_order(tmp_path, "trap '' INT QUIT; echo deaf; while :; do sleep 1; done")))
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    order.lock = lock
    server, pipe = keeper.spawn(order)
    log = keeper.Log(order.log, pipe)
    for _ in range(100):
        log.wait(0.05)
        if log.tail:
            break
    keeper.stop(server, log)
    with pytest.raises(ChildProcessError):
        os.waitpid(server, os.WNOHANG)
    os.close(pipe)
    os.close(lock)
