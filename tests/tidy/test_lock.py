"""The rules of the lock file can fail."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tidy.lock import lock_findings, undeclared_imports

_DIGEST = "0" * 64
_PYPROJECT: dict[str, Any] = {
    "build-system": {"requires": ["setuptools>=80"]},
    "project": {"dependencies": ["aio-http[speedups]>=3"], "optional-dependencies": {"dev": ["pytest>=9"]}},
}


def _pin(pin: str, digest: str = _DIGEST) -> str:
    return f"{pin} \\\n    --hash=sha256:{digest} \\\n    --hash=sha256:{digest}\n    # via something\n"


_GOOD = _pin("aio_http==3.1") + _pin("pytest==9.0 ; sys_platform == 'win32'") + _pin("setuptools==80.1")


def test_a_complete_lock_passes() -> None:
    assert lock_findings(_GOOD, _PYPROJECT) == []


@pytest.mark.parametrize("line", ["--index-" + "url x", "-i x", "# from https://mirror/", "-e ."])
def test_a_place_is_found(line: str) -> None:
    assert "names a place" in lock_findings(f"{line}\n{_GOOD}", _PYPROJECT)[0]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("extra==1.0\n", "extra has no proper sha256 hash"),
        ("extra==1.0 \\\n    --hash=md5:0123\n", "extra has no proper sha256 hash"),
        (_pin("extra==1.0", "0123"), "extra has no proper sha256 hash"),
        (_pin("extra>=1.0"), "'extra>=1.0' is not pinned"),
    ],
)
def test_what_is_not_pinned_and_hashed_is_found(entry: str, complaint: str) -> None:
    found = lock_findings(_GOOD + entry, _PYPROJECT)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize("name", ["aio-http", "pytest", "setuptools"])
def test_a_missing_requirement_is_found_the_build_backend_too(name: str) -> None:
    others = [part for part in _GOOD.split("    # via something\n") if not part.startswith(name.replace("-", "_"))]
    found = lock_findings("    # via something\n".join(others), _PYPROJECT)
    assert found == [f"requirements.lock:1: {name} is missing; run make lock"]


def test_a_version_that_is_not_accepted_is_found() -> None:
    found = lock_findings(_GOOD.replace("pytest==9.0", "pytest==8.0"), _PYPROJECT)
    assert len(found) == 1
    assert "pytest 8.0 is not >=9" in found[0]


def test_an_import_that_nobody_declared_is_found() -> None:
    modules = {"a.py": ast.parse("import os\nimport yaml\nfrom aiohttp import web\nimport kyma_proxy.api\n")}
    providers = {"yaml": ["PyYAML"], "aiohttp": ["aio_http"]}
    dependencies = _PYPROJECT["project"]["dependencies"]
    found = undeclared_imports(modules, dependencies, providers)
    assert found == ["a.py:2: imports yaml, which is not among the dependencies of pyproject.toml"]
    assert undeclared_imports(modules, [*dependencies, "pyyaml"], providers) == []
