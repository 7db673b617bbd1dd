"""An upload as multipart/form-data, sent from the buffer it lies in."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from kyma_proxy.upstreams.bodies import OutgoingBody
from kyma_proxy.upstreams.writing import Chunk
from kyma_proxy.voices.provider import Recording

SLICE_BYTES = 64 * 1024
"""Small enough that a slow provider holds little in the transport's buffer, large enough to cost few calls."""


class Upload:
    """The form of a file upload: `purpose`, then the file. Its recording is not copied.

    `filename` must be plain ASCII without quotes or control characters, as our own ids with an extension are.
    """

    def __init__(self, recording: Recording, filename: str, purpose: str) -> None:
        assert filename.isascii()
        assert filename.isprintable()
        assert not {'"', "\\"} & set(filename)
        boundary = f"kyma-{secrets.token_hex(16)}"
        self._view = memoryview(recording.data).cast("B")
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode("ascii")
        self._tail = f"\r\n--{boundary}--\r\n".encode("ascii")
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.length = len(self._head) + len(self._view) + len(self._tail)

    def body(self, idle_seconds: float) -> OutgoingBody:
        """The body to send; see OutgoingBody for `idle_seconds`."""
        return OutgoingBody(self, self.length, idle_seconds)

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        yield self._head
        for start in range(0, len(self._view), SLICE_BYTES):
            yield self._view[start : start + SLICE_BYTES]
        yield self._tail
