from __future__ import annotations

from pathlib import Path

import pytest

from kyma_proxy.settings.environment import default_config_path, environment


def test_the_environment_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KYMA_TEST_VARIABLE", "here")
    assert environment()["KYMA_TEST_VARIABLE"] == "here"
    monkeypatch.delenv("KYMA_TEST_VARIABLE")
    assert "KYMA_TEST_VARIABLE" not in environment()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "config/gateway.yaml"), ("", "config/gateway.yaml"), ("/etc/kyma.yaml", "/etc/kyma.yaml")],
)
def test_the_config_path_comes_from_kyma_config(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str
) -> None:
    monkeypatch.delenv("KYMA_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("KYMA_CONFIG", value)
    assert default_config_path() == Path(expected)
