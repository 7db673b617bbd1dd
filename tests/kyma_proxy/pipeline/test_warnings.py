"""What `check` warns of."""

from __future__ import annotations

from pathlib import Path

import pytest

from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.pipeline.runner import check_plan
from kyma_proxy.pipeline.warnings import warnings_of
from kyma_proxy.settings import load_settings

CONFIG = """
version: 1
upstreams:
  minimax: {{adapter: minimax, base_url: "http://127.0.0.1:1", api_key: k, models: {{hd: speech-02-hd}}}}
  origin: {{adapter: forward, base_url: "http://127.0.0.1:1"}}
plugins:
  - use: api_key_auth
{plugins}
routes:
{routes}
"""
OWNERSHIP = "  - use: voice_ownership"
METERING = "  - use: speech_metering\n    config: {prices_usd_per_1k_chars: {hd: '1'}}"
SPEECH = '  - {path: /v1/audio/speech, methods: [POST], models: ["hd"], upstream: minimax}'
SOUNDS = "  - {path: /v1/audio/sfx, upstream: origin}"
ALL = '  - {path: "/v1/audio/**", upstream: origin}'


def warned(tmp_path: Path, plugins: list[str], routes: list[str]) -> list[str]:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(plugins="\n".join(plugins), routes="\n".join(routes)))
    installed = InstalledPlugins()
    settings = load_settings(path, plugins=installed, environ={})
    lines = path.read_text().splitlines()
    found = warnings_of(settings, installed, check_plan(settings, installed))
    return [f"{lines[problem.line - 1].strip()[:28]}: {problem.message}" for problem in found]


@pytest.mark.parametrize(
    ("plugins", "routes", "words"),
    [
        ([OWNERSHIP, METERING], [SPEECH, SOUNDS], []),
        ([OWNERSHIP], [SPEECH, SOUNDS], ["no plugin charges for it"]),
        ([], [SPEECH, SOUNDS], ["no plugin reads the model", "no plugin charges for it"]),
        ([OWNERSHIP, METERING], [SPEECH, ALL], ["no plugin records whose the new voices are"]),
        ([OWNERSHIP], [SOUNDS, ALL], ["no plugin records whose the new voices are"]),
    ],
)
def test_warnings(tmp_path: Path, plugins: list[str], routes: list[str], words: list[str]) -> None:
    found = warned(tmp_path, plugins, routes)
    assert len(found) == len(words)
    for word in words:
        assert any(word in each for each in found)


def test_a_warning_points_at_its_route(tmp_path: Path) -> None:
    (design,) = warned(tmp_path, [OWNERSHIP, METERING], [SPEECH, SOUNDS, ALL])
    assert design.startswith('- {path: "/v1/audio/**"')
