"""curl as a real client, as in the public documentation."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.testing.audio import silent_wav

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def curl(*arguments: str) -> tuple[str, str]:
    """What curl printed on stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "30", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "me.mp3"
    path.write_bytes(sample_recording())
    return path


async def test_the_documented_line_clones_a_voice(world: Any, recording: Path) -> None:
    out, _ = await curl(
        f"{world.base_url}/v1/audio/voice-clone",
        *("-H", f"Authorization: Bearer {world.api_key}", "-F", f"file=@{recording}", "-F", "name=narrator"),
    )
    assert json.loads(out)["name"] == "narrator"


async def test_an_upload_that_asks_first_is_told_to_go_on(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(silent_wav(120, rate_hz=16_000))
    out, err = await curl(
        f"{world.base_url}/v1/audio/voice-clone",
        *("-v", "-H", "Expect: 100-continue", "-H", f"Authorization: Bearer {world.api_key}", "-F", f"file=@{path}"),
    )
    assert json.loads(out)["voice_id"].startswith("kyma_")
    assert "100 Continue" in err


async def test_an_oversize_upload_is_refused_before_its_body_is_sent(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    path.write_bytes(bytes(12 * 1024 * 1024))
    out, err = await curl(
        f"{world.base_url}/v1/audio/voice-clone",
        *("-v", "-H", "Expect: 100-continue", "-H", f"Authorization: Bearer {world.api_key}", "-F", f"file=@{path}"),
        *("-w", "\n%{http_code} %{size_upload}"),
    )
    body, status = out.rsplit("\n", 1)
    assert json.loads(body)["error"]["code"] == "invalid_request"
    assert status == "413 0"
    assert "100 Continue" not in err


@pytest.mark.parametrize("size_mib", [10, 11, 12, 40])
async def test_an_oversize_upload_that_does_not_ask_still_reads_its_answer(
    world: Any, tmp_path: Path, size_mib: int
) -> None:
    path = tmp_path / "huge.wav"
    path.write_bytes(silent_wav(1)[:44] + bytes(size_mib * 1024 * 1024))
    out, _ = await curl(
        f"{world.base_url}/v1/audio/voice-clone",
        *("-H", "Expect:", "-H", f"Authorization: Bearer {world.api_key}", "-F", f"file=@{path}"),
        *("-w", "\n%{http_code}"),
    )
    assert out.endswith("\n413")


async def test_a_missing_key_is_refused_before_the_body_is_sent(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(silent_wav(120, rate_hz=16_000))
    out, err = await curl(
        f"{world.base_url}/v1/audio/voice-clone",
        *("-v", "-H", "Expect: 100-continue", "-F", f"file=@{path}", "-w", "\n%{http_code} %{size_upload}"),
    )
    assert out.endswith("\n401 0")
    assert "100 Continue" not in err
