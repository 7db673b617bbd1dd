"""The wheel that is built from this repository holds everything that runs, and runs from where it is put."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tidy.tree import ROOT, tracked_files

_BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
_IMPORT = """
import importlib, sys
site, names = sys.argv[1], sys.argv[2:]
sys.path.insert(0, site)
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(site), f"{name} comes from {module.__file__}"
"""


@pytest.fixture(scope="module")
def shipped() -> set[str]:
    """What the wheel must hold: each file of the core and the plugins, at the path it is installed to."""
    kept = [path for path in tracked_files() if path.startswith(("kyma_proxy/", "plugins/"))]
    return {path.removeprefix("plugins/") for path in kept}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in tracked_files():
        if path.startswith(("kyma_proxy/", "plugins/")) or "/" not in path:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(target)], cwd=source, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def site(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def test_the_wheel_holds_what_ships_and_nothing_else(wheel: zipfile.ZipFile, shipped: set[str]) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == shipped


def test_every_package_says_that_it_is_typed(shipped: set[str]) -> None:
    packages = {path.split("/", maxsplit=1)[0] for path in shipped}
    assert {f"{package}/py.typed" for package in packages} <= shipped


def test_the_wheel_carries_licence_command_and_plugins(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "Copyright 2026 Kyma" in about["LICENSE"]
    assert "License-Expression: Apache-2.0" in about["METADATA"]
    points = configparser.ConfigParser()
    points.read_string(about["entry_points.txt"])
    assert dict(points["console_scripts"]) == project["scripts"]
    assert dict(points["kyma_proxy.plugins"]) == project["entry-points"]["kyma_proxy.plugins"]


def test_every_module_imports_from_the_installed_wheel(site: Path, shipped: set[str]) -> None:
    modules = [path for path in shipped if path.endswith(".py") and str(Path(path).with_name("__init__.py")) in shipped]
    names = [path.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for path in modules]
    importable = sorted(name for name in names if not name.endswith(".__main__"))
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", _IMPORT, str(site), *importable],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "kyma_proxy.errors" in importable
