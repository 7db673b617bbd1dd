"""The recording of speech that ships with the product, for a first voice-clone request."""

from __future__ import annotations

from importlib import resources

SAMPLE_FILENAME = "sample-speech.mp3"
"""The name to give the recording when it is written to disk."""


def sample_recording() -> bytes:
    """About 18 s of synthetic English speech, MP3, mono; its provenance stands in `assets/README.md` next to it."""
    return resources.files("kyma_proxy.simulators").joinpath("assets", SAMPLE_FILENAME).read_bytes()
