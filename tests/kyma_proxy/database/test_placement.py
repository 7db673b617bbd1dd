from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kyma_proxy.database import placement
from kyma_proxy.database.binaries import Binaries
from kyma_proxy.database.placement import Place, ServerUser
from kyma_proxy.database.private import EmbeddedError

_NOBODY = ServerUser(65534, 65534)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may pass through, as a checkout in a shared place is."""
    folder = Path(tempfile.mkdtemp(prefix="kyma-place-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_home_is_made_for_us_only_and_found_again(folder: Path) -> None:
    home = placement.make_home(folder / "deep/data")
    assert home == (folder / "deep/data/postgres").resolve()
    assert not stat.S_IMODE(home.stat().st_mode) & stat.S_IRWXO
    assert placement.make_home(folder / "deep/data") == home
    assert placement.locate(home).folder == home


def test_an_existing_data_directory_keeps_its_mode_and_our_folder_is_closed(folder: Path) -> None:
    (folder / "postgres").mkdir(mode=0o755)
    home = placement.make_home(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert not stat.S_IMODE(home.stat().st_mode) & stat.S_IRWXO


def test_what_is_not_a_folder_is_refused(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "postgres").symlink_to(folder / "elsewhere")
    with pytest.raises(EmbeddedError, match="is not a folder"):
        placement.make_home(folder)


@pytest.mark.parametrize(
    ("mode", "owner", "passes"),
    [
        (0o755, (0, 0), True),
        (0o711, (0, 0), True),
        (0o700, (0, 0), False),
        (0o710, (0, 65534), True),
        (0o701, (0, 65534), False),
        (0o700, (65534, 0), True),
        (0o077, (65534, 65534), False),
    ],
)
@as_root
def test_who_can_enter_a_folder(folder: Path, mode: int, owner: tuple[int, int], passes: bool) -> None:
    inside = folder / "between/inside"
    inside.mkdir(parents=True)
    os.chown(folder / "between", *owner)
    (folder / "between").chmod(mode)
    assert placement.can_enter(inside, _NOBODY) is passes


@as_root
def test_roots_server_gets_an_id_that_nobody_has_and_keeps_it(folder: Path) -> None:
    home = placement.make_home(folder / "data")
    user = placement.server_user(home)
    assert user is not None
    assert user.uid == user.gid
    assert user.uid in range(60706, 61184)
    assert placement.server_user(placement.make_home(folder / "data")) == user
    assert placement.can_enter(home, user)
    assert not placement.can_enter(home, _NOBODY)


@as_root
def test_root_in_an_ordinary_users_data_directory_runs_that_users_server(folder: Path) -> None:
    (folder / "postgres").mkdir(mode=0o700)
    os.chown(folder / "postgres", 65534, 65534)
    home = placement.make_home(folder)
    assert placement.server_user(home) == _NOBODY
    assert home.stat().st_uid == 65534


@as_root
def test_a_place_outside_is_made_once_and_missed_when_gone(folder: Path) -> None:
    folder.chmod(0o700)
    home = placement.make_home(folder / "data")
    place = placement.locate(home)
    try:
        assert home not in (place.folder, *place.folder.parents)
        assert place.user is not None
        assert placement.can_enter(place.folder, place.user)
        assert not placement.can_enter(place.folder, _NOBODY)
        assert placement.locate(home) == place
    finally:
        place.folder.rmdir()
    with pytest.raises(EmbeddedError, match="bring it back"):
        placement.locate(home)


@as_root
def test_books_that_the_server_can_no_longer_reach_are_not_begun_anew(folder: Path) -> None:
    home = placement.make_home(folder / "data")
    (home / "cluster").mkdir()
    folder.chmod(0o700)
    with pytest.raises(EmbeddedError, match="can no longer reach"):
        placement.locate(home)


def test_the_socket_folder_is_inside_when_its_path_is_short(folder: Path) -> None:
    place = Place(folder, None)
    assert placement.make_socket_folder(place) == folder / "run" == placement.socket_folder(place)
    assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700


def test_a_long_path_gets_a_socket_folder_of_its_own(folder: Path) -> None:
    place = Place(folder / ("d" * 90), None)
    place.folder.mkdir()
    assert placement.socket_folder(place) is None
    made = placement.make_socket_folder(place)
    try:
        assert made == placement.make_socket_folder(place) == placement.socket_folder(place)
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        copied = Place(folder / ("e" * 90), None)
        shutil.copytree(place.folder, copied.folder)
        assert placement.socket_folder(copied) is None, "a copy does not talk to the original's server"
    finally:
        made.rmdir()


def test_a_socket_folder_that_became_anothers_is_not_used(folder: Path) -> None:
    place = Place(folder / ("d" * 90), None)
    place.folder.mkdir()
    first = placement.make_socket_folder(place)
    first.chmod(0o755)
    second = placement.make_socket_folder(place)
    assert second != first
    first.rmdir()
    second.rmdir()


@as_root
def test_programs_out_of_reach_are_copied_once_and_replaced_when_they_change(folder: Path) -> None:
    closed = folder / "closed"
    (closed / "install").mkdir(parents=True)
    (closed / "install/postgres").write_text("one")
    (closed / "install/postgres").chmod(0o755)
    closed.chmod(0o700)
    binaries = Binaries(closed / "install", closed, ("install",))
    home = placement.make_home(folder / "data")
    place = placement.locate(home)
    copy = placement.reachable_binaries(binaries, place)
    assert place.user is not None
    assert placement.can_enter(copy.postgres, place.user)
    assert placement.reachable_binaries(binaries, place) == copy
    (closed / "install/postgres").write_text("another")
    assert placement.reachable_binaries(binaries, place) != copy
    assert len(list(home.glob("programs-*"))) == 1
    with pytest.raises(EmbeddedError, match="cannot run"):
        placement.reachable_binaries(Binaries(closed / "install"), place)
