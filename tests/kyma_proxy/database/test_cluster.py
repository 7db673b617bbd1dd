from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from kyma_proxy.database import cluster as cluster_module
from kyma_proxy.database.binaries import Binaries
from kyma_proxy.database.cluster import choose_binaries, make_cluster, own_cluster, server_command
from kyma_proxy.database.placement import Place, ServerUser
from kyma_proxy.database.private import EmbeddedError


def _installed(folder: Path, version: str) -> Binaries:
    folder.mkdir()
    program = folder / "postgres"
    program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    return Binaries(folder)


def test_a_new_cluster_gets_the_first_that_runs_and_is_new_enough(tmp_path: Path) -> None:
    candidates = [_installed(tmp_path / name, name) for name in ("none", "9.6", "17.2", "18.1")]
    assert choose_binaries(tmp_path / "cluster", candidates) == candidates[2]


def test_an_existing_cluster_gets_its_own_major_version(tmp_path: Path) -> None:
    candidates = [_installed(tmp_path / name, name) for name in ("18.1", "17.2")]
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/PG_VERSION").write_text("17\n")
    assert choose_binaries(tmp_path / "cluster", candidates) == candidates[1]
    (tmp_path / "cluster/PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 16, but this machine has 18, 17"):
        choose_binaries(tmp_path / "cluster", candidates)


def test_a_failed_initdb_leaves_neither_cluster_nor_password(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/initdb"
    program.write_text("#!/bin/sh\necho the disk is full\nexit 1\n")
    program.chmod(0o755)
    place = Place(tmp_path, None)
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with pytest.raises(EmbeddedError, match="the disk is full"):
        make_cluster(place, Binaries(tmp_path / "bin"), lock)
    program.unlink()
    with pytest.raises(EmbeddedError, match="initdb did not run"):
        make_cluster(place, Binaries(tmp_path / "bin"), lock)
    os.close(lock)
    assert not place.cluster.exists()
    assert not place.password.exists()
    assert not (tmp_path / "initdb.password").exists()


def test_initdb_runs_as_a_user_with_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    def accounts(**uids: int) -> None:
        found = [SimpleNamespace(pw_name=name, pw_uid=uid) for name, uid in uids.items()]
        monkeypatch.setattr(pwd, "getpwall", lambda: found)

    nameless = ServerUser(60706, 60706)
    accounts(root=0, daemon=1, nobody=65534)
    assert cluster_module._initdb_user(nameless) == ServerUser(65534, 60706)
    assert cluster_module._initdb_user(ServerUser(1, 1)) == ServerUser(1, 1)
    accounts(root=0, daemon=1)
    assert cluster_module._initdb_user(nameless) == ServerUser(1, 60706)
    accounts(root=0)
    with pytest.raises(EmbeddedError, match="no account but root"):
        cluster_module._initdb_user(nameless)
    accounts()
    with pytest.raises(EmbeddedError, match="to have an account"):
        cluster_module._initdb_user(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_cluster_that_root_restored_is_given_to_the_server(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/1").write_text("")
    (tmp_path / "link").symlink_to("/etc/passwd")
    own_cluster(Place(tmp_path, ServerUser(60706, 60707)), tmp_path)
    found = {(each.lstat().st_uid, each.lstat().st_gid) for each in (tmp_path, *tmp_path.rglob("*"))}
    assert found == {(60706, 60707)}
    assert Path("/etc/passwd").stat().st_uid == 0


def test_the_server_listens_on_its_socket_only() -> None:
    command = server_command(Place(Path("/data"), None), Binaries(Path("/bin")), Path("/run/books"))
    assert command[:5] == ["/bin/postgres", "-D", "/data/cluster", "-k", "/run/books"]
    assert "listen_addresses=" in command
    assert not any(argument.startswith("fsync") for argument in command)
