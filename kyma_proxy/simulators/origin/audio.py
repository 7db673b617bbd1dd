"""The origin's documented output formats, and the length of an upload."""

from __future__ import annotations

from kyma_proxy.simulators.tone import Format

_ASSUMED_UPLOAD_BYTES_PER_SECOND = 16_000
DEFAULT_FORMAT = "mp3_44100_128"
FORMATS = {
    "mp3": Format("mp3", 44100, 128),
    "mp3_44100_128": Format("mp3", 44100, 128),
    "mp3_44100_192": Format("mp3", 44100, 192),
    "mp3_22050_32": Format("mp3", 22050, 32),
    "pcm_16000": Format("pcm", 16000),
    "pcm_22050": Format("pcm", 22050),
    "pcm_24000": Format("pcm", 24000),
    "pcm_44100": Format("pcm", 44100),
    "ulaw_8000": Format("ulaw", 8000),
}


def upload_seconds(head: bytes | bytearray, size: int) -> float:
    """How long an upload of `size` bytes lasts: by the byte rate of a WAV head, else as if it were 128 kbit/s."""
    if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and len(head) >= 32:
        bytes_per_second = int.from_bytes(head[28:32], "little")
        data_at = head.find(b"data", 36)
        if bytes_per_second and data_at > 0:
            return max(0.0, (size - data_at - 8) / bytes_per_second)
    return size / _ASSUMED_UPLOAD_BYTES_PER_SECOND
