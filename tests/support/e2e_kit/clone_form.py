"""The clone form as bytes on the wire, with every freedom that RFC 7578 leaves to a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kyma_proxy.testing.audio import silent_wav

RECORDING: Final = silent_wav(10, rate_hz=1000, bits=8)
"""The smallest file that is long enough: 10 KB."""
OTHER_RECORDING: Final = silent_wav(11, rate_hz=1000, bits=8)


@dataclass(frozen=True, slots=True)
class Form:
    """A clone form; what is None is not sent. `extra` are whole parts that come before and after the others."""

    recording: bytes | None = RECORDING
    name: str | None = None
    model: str | None = None
    filename: str | None = "recording.wav"
    file_type: str | None = "audio/wav"
    file_first: bool = False
    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()
    boundary: str = "kyma-boundary"

    @property
    def content_type(self) -> str:
        """What the request's Content-Type has to be."""
        return f'multipart/form-data; boundary="{self.boundary}"'

    @property
    def body(self) -> bytes:
        """The request's body."""
        texts = [
            part(name, value.encode())
            for name, value in (("name", self.name), ("model", self.model))
            if value is not None
        ]
        files = [] if self.recording is None else [part("file", self.recording, self.filename, self.file_type)]
        ordered = [*files, *texts] if self.file_first else [*texts, *files]
        mark = f"--{self.boundary}".encode()
        parts = [mark + b"\r\n" + each + b"\r\n" for each in (*self.before, *ordered, *self.after)]
        return b"".join(parts) + mark + b"--\r\n"


def part(name: str, content: bytes, filename: str | None = None, content_type: str | None = None) -> bytes:
    """One part of a form, without its boundary."""
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if content_type is not None:
        head += f"\r\nContent-Type: {content_type}"
    return f"{head}\r\n\r\n".encode() + content
