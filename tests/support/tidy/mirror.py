"""Tests mirror the source, path for path."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

_NOT_MIRRORED = {"__init__.py", "__main__.py"}


def test_path_of(source: str) -> str:
    """Where the test of a source file stands: `kyma_proxy/x/y.py` -> `tests/kyma_proxy/x/test_y.py`."""
    path = PurePosixPath(source)
    return str("tests" / path.with_name(f"test_{path.name}"))


def mirrored_sources(paths: Collection[str]) -> set[str]:
    """The source files that must have a test.

    A file in a folder that is no package (migration scripts) is data: a tool runs it, nothing can import it.
    """
    return {path for path in paths if _is_source(path) and _is_in_package(path, paths)}


def missing_tests(paths: Collection[str]) -> list[str]:
    """Findings for source files without a test and for tests without a source file."""
    sources = mirrored_sources(paths)
    expected = {test_path_of(source): source for source in sources}
    findings = [f"{source}:1: write its test {test}" for test, source in expected.items() if test not in paths]
    for path in paths:
        if _stands_in_mirror(path) and path not in expected:
            findings.append(f"{path}:1: tests no source file; move it to the path that mirrors one, or to tests/e2e/")
    return sorted(findings)


def _is_source(path: str) -> bool:
    name = PurePosixPath(path).name
    return path.startswith(("kyma_proxy/", "plugins/")) and name.endswith(".py") and name not in _NOT_MIRRORED


def _is_in_package(path: str, paths: Collection[str]) -> bool:
    return str(PurePosixPath(path).with_name("__init__.py")) in paths


def _stands_in_mirror(path: str) -> bool:
    inside = path.startswith(("tests/kyma_proxy/", "tests/plugins/"))
    return inside and path.endswith(".py") and PurePosixPath(path).name != "conftest.py"
