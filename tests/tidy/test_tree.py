"""What counts as the repository's files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tidy.tree import parse_modules, plugin_of, product, read_texts, tracked_files


def _write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x = 1\n")


def test_git_decides_where_there_is_git(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    _write(tmp_path, "tracked.py", "new.py", "ignored/a.py", "gone.py")
    (tmp_path / ".gitignore").write_text("ignored/\n")
    subprocess.run(["git", "add", "tracked.py", "gone.py"], cwd=tmp_path, check=True)
    (tmp_path / "gone.py").unlink()
    assert tracked_files(tmp_path) == (".gitignore", "new.py", "tracked.py")


def test_a_walk_without_git_leaves_out_what_tools_produce(tmp_path: Path) -> None:
    _write(tmp_path, "a/b.py", ".ci/run", ".venv/lib/x.py", "a/__pycache__/b.py", "build/lib/a.py", "k.egg-info/p.py")
    assert tracked_files(tmp_path) == (".ci/run", "a/b.py")


def test_binary_files_are_no_text(tmp_path: Path) -> None:
    _write(tmp_path, "a.py")
    (tmp_path / "a.mp3").write_bytes(b"\xff\xfb\x00\x00")
    assert read_texts(tmp_path) == {"a.py": "x = 1\n"}


def test_the_product_is_the_core_and_the_plugins() -> None:
    paths = ("kyma_proxy/a.py", "plugins/kyma_x/b.py", "tests/kyma_proxy/test_a.py", "README.md")
    assert list(product(parse_modules(dict.fromkeys(paths, "")))) == ["kyma_proxy/a.py", "plugins/kyma_x/b.py"]


def test_plugin_of_a_path() -> None:
    assert plugin_of("plugins/kyma_x/audio/mp3.py") == "kyma_x"
    assert plugin_of("tests/plugins/kyma_x/test_a.py") == "kyma_x"
    assert plugin_of("kyma_proxy/plugins/x.py") is None
