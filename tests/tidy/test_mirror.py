"""The mirror rule can fail."""

from __future__ import annotations

from tidy.mirror import missing_tests
from tidy.mirror import test_path_of as mirrored

_PACKAGES = ["kyma_proxy/__init__.py", "kyma_proxy/x/__init__.py", "plugins/kyma_z/__init__.py"]


def test_the_mirrored_path() -> None:
    assert mirrored("kyma_proxy/x/y.py") == "tests/kyma_proxy/x/test_y.py"
    assert mirrored("plugins/kyma_z/w.py") == "tests/plugins/kyma_z/test_w.py"


def test_a_source_file_without_test_is_found() -> None:
    paths = [*_PACKAGES, "kyma_proxy/x/y.py", "plugins/kyma_z/w.py", "tests/plugins/kyma_z/test_w.py"]
    assert missing_tests(paths) == ["kyma_proxy/x/y.py:1: write its test tests/kyma_proxy/x/test_y.py"]


def test_an_orphan_test_is_found() -> None:
    found = missing_tests([*_PACKAGES, "tests/kyma_proxy/x/test_gone.py", "tests/plugins/kyma_z/helpers.py"])
    assert [finding.split(":")[0] for finding in found] == [
        "tests/kyma_proxy/x/test_gone.py",
        "tests/plugins/kyma_z/helpers.py",
    ]


def test_entry_files_and_data_need_no_test() -> None:
    data = "kyma_proxy/database/migrations/versions/0001_books.py"
    assert missing_tests([*_PACKAGES, "kyma_proxy/__main__.py", data, "kyma_proxy/py.typed"]) == []


def test_conftest_and_end_to_end_tests_mirror_nothing() -> None:
    assert missing_tests([*_PACKAGES, "tests/kyma_proxy/conftest.py", "tests/e2e/test_clone.py"]) == []
