"""`make` says what is wrong with a Python that cannot make the virtual environment, and repairs a half-made one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidy.tree import ROOT

_TOO_OLD = "import sys; sys.version_info = (3, 10, 13)"
_WITHOUT_VENV = "import sys; sys.modules['ensurepip'] = None"
_AS_IT_IS = "import sys"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a clone as set-up reads before it installs anything."""
    (tmp_path / ".ci").mkdir()
    for path in ("Makefile", "pyproject.toml", "requirements.lock", ".ci/check_python.py"):
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def _python(folder: Path, prelude: str, on_venv: str = "exit 3") -> Path:
    """A Python that runs scripts after `prelude`, and answers `-m venv` with a shell command."""
    fake = folder / "fake-python"
    run = f"{prelude}; sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read())"
    fake.write_text(
        f'#!/bin/sh\nif [ "$1" = -m ]; then {on_venv}; fi\nif [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\n'
        f'exec {sys.executable} -c "{run}" "$@"\n'
    )
    fake.chmod(0o755)
    return fake


def _make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run(["make", "--no-print-directory", *arguments], checkout)


def _run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run without what an outer `make` would pass on through the environment."""
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("prelude", "advice"),
    [(_TOO_OLD, "needs Python 3.11 or newer"), (_WITHOUT_VENV, "comes without venv; install it")],
)
def test_an_unfit_python_is_named_with_what_to_do(checkout: Path, prelude: str, advice: str) -> None:
    done = _make(checkout, f"PYTHON={_python(checkout, prelude)}", "test")
    assert done.returncode != 0
    assert advice in done.stderr
    assert "make PYTHON=/path/to/python3.12 test" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_half_made_venv_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/left-over").write_text("of an interrupted run")
    done = _make(checkout, f"PYTHON={_python(checkout, _AS_IT_IS)}", "test")
    assert done.returncode != 0
    assert f"making .venv with {checkout}/fake-python" in done.stdout
    assert not (checkout / ".venv/left-over").exists()


def test_what_was_interrupted_is_not_taken_for_ready(checkout: Path) -> None:
    for _ in range(2):
        done = _make(checkout, f"PYTHON={_python(checkout, _AS_IT_IS)}", "test")
        assert done.returncode != 0
        assert "making .venv" in done.stdout
        assert not (checkout / ".venv/.ready").exists()


def test_the_continuous_check_is_executable_and_passes_the_python_on(checkout: Path) -> None:
    shutil.copy(ROOT / ".ci/run", checkout / ".ci/run")
    done = _run([str(checkout / ".ci/run")], Path("/"), PYTHON=str(_python(checkout, _TOO_OLD)))
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
