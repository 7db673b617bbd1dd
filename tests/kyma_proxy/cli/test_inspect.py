"""`kyma-proxy inspect` on files as support staff have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2e_kit.processes import run
from kyma_proxy.testing.audio import silent_mp3, silent_wav

LIMITED = """
version: 1
upstreams: {minimax: {adapter: minimax, base_url: "http://127.0.0.1:1", api_key: "${UNSET_KEY}"}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {upstream: minimax, min_seconds: 1, max_seconds: 2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fine.mp3").write_bytes(silent_mp3(12))
    (tmp_path / "short.wav").write_bytes(silent_wav(1.5))
    (tmp_path / "notes.txt").write_text("not a recording, only words")
    (tmp_path / "empty.m4a").write_bytes(b"")
    return tmp_path


async def test_one_file_is_told_line_by_line(folder: Path) -> None:
    ran = await run("inspect", "fine.mp3", cwd=folder, environ={"KYMA_CONFIG": None})
    assert ran.code == 0
    told = dict(line.split(None, 1) for line in ran.out.splitlines())
    assert (told["format"], told["duration_seconds"], told["verdict"]) == ("mp3", "12", "accepted")
    assert "frames" in told["rule"]


async def test_many_files_are_a_table_and_json_for_scripts(folder: Path) -> None:
    files = ("fine.mp3", "short.wav", "notes.txt", "empty.m4a")
    table = await run("inspect", *files, cwd=folder, environ={"KYMA_CONFIG": None})
    assert table.code == 0
    assert [line.split()[0] for line in table.out.splitlines()] == ["file", *files]
    found = await run("inspect", *files, "--json", cwd=folder, environ={"KYMA_CONFIG": None})
    assert [(row["file"], row["verdict"]) for row in found.fields["files"]] == [
        ("fine.mp3", "accepted"),
        ("short.wav", "reference_too_short"),
        ("notes.txt", "unsupported_format"),
        ("empty.m4a", "invalid_request"),
    ]


async def test_the_limits_are_the_configured_ones_and_need_no_secret(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(LIMITED)
    ran = await run("inspect", "fine.mp3", "short.wav", "--json", "--config", "gateway.yaml", cwd=folder)
    assert [row["verdict"] for row in ran.fields["files"]] == ["reference_too_long", "accepted"]


async def test_a_bad_or_missing_config_that_was_named_is_exit_2(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(LIMITED.replace("min_seconds", "min_secnds"))
    ran = await run("inspect", "fine.mp3", "--config", "gateway.yaml", cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("gateway.yaml:7:")
    assert (await run("inspect", "fine.mp3", "--config", "nowhere.yaml", cwd=folder)).code == 2
    assert (await run("inspect", cwd=folder)).code == 2


async def test_what_cannot_be_read_is_exit_1_and_the_others_are_told(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "odd\x1b[31m.mp3").write_bytes(silent_mp3(12))
    files = ("pipe", ".", "missing.mp3", "odd\x1b[31m.mp3", "fine.mp3")
    ran = await run("inspect", *files, cwd=folder, environ={"KYMA_CONFIG": None})
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "Error: pipe: not a regular file",
        ".: not a regular file",
        "missing.mp3: No such file or directory",
    ]
    assert len(ran.out.splitlines()) == 3
    assert "\x1b" not in ran.out + ran.err
