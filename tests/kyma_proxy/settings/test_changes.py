"""What a reload cannot change is told, with where it stands."""

from __future__ import annotations

from pathlib import Path

from kyma_proxy.settings import Settings, load_settings
from kyma_proxy.settings.changes import restart_needed

BEFORE = """version: 1
server: {listen: "127.0.0.1:8080", drain_seconds: 3}
upstreams: {origin: {adapter: forward, base_url: "http://127.0.0.1:1"}}
routes: [{path: "/v1/audio/**", upstream: origin}]
"""


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    return load_settings(path, plugins={}, environ={})


def test_upstreams_and_routes_change_at_once(tmp_path: Path) -> None:
    before = load(tmp_path, BEFORE)
    assert restart_needed(before, load(tmp_path, BEFORE.replace("127.0.0.1:1", "127.0.0.1:2"))) == ()


def test_listeners_and_the_database_need_a_restart(tmp_path: Path) -> None:
    before = load(tmp_path, BEFORE)
    text = BEFORE.replace(":8080", ":8081") + "database: {pool_size: 4}\n"
    found = restart_needed(before, load(tmp_path, text))
    assert [(each.line, each.message) for each in found] == [
        (2, "server.listen has changed: that counts after a restart"),
        (5, "database.pool_size has changed: that counts after a restart"),
    ]
