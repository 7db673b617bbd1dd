"""Requests made by hand, for testing a plugin without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Identity, RequestTarget


class BytesBody:
    """A request body from chunks in memory; it keeps to the rules of the real one."""

    def __init__(self, chunks: Iterable[bytes] = (), *, announced: bool = True) -> None:
        self._chunks = tuple(chunks)
        self._announced_bytes = sum(map(len, self._chunks)) if announced else None
        self._max_bytes: int | None = None
        self.was_read = False

    @property
    def content_length(self) -> int | None:
        """The length of all chunks, or None when the body plays a chunked one."""
        return self._announced_bytes

    def narrow(self, max_bytes: int) -> None:
        """Refuse more than `max_bytes`; raises GatewayError TOO_LARGE at once if that much is announced."""
        self._max_bytes = max_bytes if self._max_bytes is None else min(max_bytes, self._max_bytes)
        if self._announced_bytes is not None:
            self._require(self._announced_bytes)

    def whole(self) -> bytes | None:
        """All chunks in one, unless they play a chunked body or were read."""
        if self._announced_bytes is None or self.was_read:
            return None
        self.was_read = True
        return b"".join(self._chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks, once."""
        self.was_read = True
        read_bytes = 0
        for chunk in self._chunks:
            read_bytes += len(chunk)
            self._require(read_bytes)
            yield chunk

    def _require(self, size_bytes: int) -> None:
        if self._max_bytes is not None and size_bytes > self._max_bytes:
            raise GatewayError(ErrorCode.TOO_LARGE, f"The body is over {self._max_bytes} bytes.")


def make_flow(
    method: str = "POST",
    path: str = "/v1/audio/voice-clone",
    *,
    headers: Mapping[str, str] | None = None,
    body: BytesBody | None = None,
    identity: Identity | None = None,
) -> Flow:
    """A flow for `path`, which must be canonical."""
    multi = CIMultiDict(headers or {})
    return Flow(
        id="req_test",
        method=method,
        target=RequestTarget(raw_path=path, raw_query=None, path=path),
        headers=CIMultiDictProxy(multi),
        raw_headers=tuple((key.encode(), value.encode("utf-8", "surrogateescape")) for key, value in multi.items()),
        body=body or BytesBody(),
        client_address="127.0.0.1",
        identity=identity,
    )
