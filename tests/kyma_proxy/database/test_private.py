from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kyma_proxy.database import private
from kyma_proxy.database.private import EmbeddedError


def test_a_private_file_is_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "password"
    (tmp_path / "password.partial").write_text("left over")
    private.write_private(path, "first")
    private.write_private(path, "second")
    assert private.read_private(path) == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["password"]


def test_a_file_that_is_not_there_is_none_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert private.read_private(tmp_path / "absent") is None
    with pytest.raises(EmbeddedError, match="is the data directory yours"):
        private.read_private(tmp_path)


def test_a_lock_is_shared_or_had_alone_and_goes_with_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = private.open_lock(path), private.open_lock(path)
    assert private.is_free(path)
    assert private.try_shared(first)
    assert private.try_shared(second)
    assert private.is_shared(path)
    assert not private.is_free(path)
    os.close(first)
    assert private.try_exclusive(second)
    assert not private.is_shared(path)
    third = private.open_lock(path)
    assert not private.try_shared(third)
    os.close(second)
    assert private.try_exclusive(third)
    os.close(third)


def test_a_lock_file_is_never_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedError):
        private.open_lock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_in_somebodys_folder_is_theirs(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    private.write_private(tmp_path / "password", "x")
    os.close(private.open_lock(tmp_path / "lock"))
    assert {each.stat().st_uid for each in tmp_path.iterdir()} == {65534}
