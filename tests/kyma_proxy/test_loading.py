"""A configuration is checked as a whole before it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from kyma_proxy.loading import load_checked
from kyma_proxy.settings import ConfigError
from reload_kit import PLUGINS, write


def test_a_good_file_is_loaded_and_a_copy_names_the_original(tmp_path: Path) -> None:
    copy, original = tmp_path / "copy.yaml", tmp_path / "gateway.yaml"
    write(copy, 7)
    assert load_checked(copy, PLUGINS).plugins[0].use == "version"
    copy.write_text("version: 1\nservr: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_checked(copy, PLUGINS, named=original)
    assert str(caught.value).startswith(f"{original}:2:1: ")


def test_a_certificate_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    write(path, 1, more=f'server: {{tls: {{certificate: "{tmp_path}/no.pem", key: "{tmp_path}/no.key"}}}}\n')
    with pytest.raises(ConfigError, match=r"no\.pem"):
        load_checked(path, PLUGINS)
