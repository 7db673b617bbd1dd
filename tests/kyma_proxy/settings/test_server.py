"""The `server` section."""

from __future__ import annotations

from pathlib import Path

import pytest

from kyma_proxy.settings import ConfigError, Settings, load_settings


def load(tmp_path: Path, server: str) -> Settings:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"version: 1\nserver: {server}\n")
    return load_settings(path, plugins={}, environ={})


def test_browsers_are_not_let_in_by_default(tmp_path: Path) -> None:
    assert load(tmp_path, "{}").server.cors is None
    cors = load(tmp_path, '{cors: {origins: ["https://app.example.com"]}}').server.cors
    assert cors is not None
    assert (cors.origins, cors.headers, cors.credentials) == (("https://app.example.com",), ("*",), False)


@pytest.mark.parametrize(
    ("cors", "column", "says"),
    [
        ("{}", 10, "origins"),
        ("{origins: []}", 16, "leave cors out"),
        ('{origins: ["app.example.com"]}', 27, "origin as browsers send it"),
        ('{origins: ["https://app.example.com/"]}', 27, "origin as browsers send it"),
        ('{origins: ["*", "https://a.example"]}', 16, "nothing beside it"),
        ('{origins: ["*"], credentials: true}', 16, "take no *"),
        ('{origins: ["*"], methods: ["GET POST"]}', 43, "name of a header or a method"),
    ],
)
def test_what_browsers_would_not_honour_is_a_problem(tmp_path: Path, cors: str, column: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{{cors: {cors}}}")
    problem = caught.value.problems[0]
    assert says in problem.message
    assert (problem.line, problem.column) == (2, column)
