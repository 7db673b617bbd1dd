"""A request's body as plugins and upstreams read it: bounded, timed, and not asked for before someone wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp.web import BaseRequest, RequestPayloadError

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import BrokenFramingError, ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError
from kyma_proxy.server.turns import LARGE_BYTES, Turns

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyPace:
    """How slow a client may be: idle for `idle_seconds` at most, and on the whole no slower than a rate.

    Only time spent waiting for the client counts, so a reader that takes its time never makes a client look slow. The
    rate is asked for once the client has been waited for longer than one idle time.
    """

    def __init__(self, idle_seconds: float, bytes_per_second_min: int) -> None:
        self.idle_seconds = idle_seconds
        self._bytes_per_second_min = bytes_per_second_min
        self._waited_seconds = 0.0

    def waited(self, seconds: float, received_bytes: int) -> bool:
        """Add a wait; False once the client is too slow for the `received_bytes` that it has sent."""
        self._waited_seconds += seconds
        return self._waited_seconds <= self.idle_seconds + received_bytes / self._bytes_per_second_min


class IncomingBody:
    """The body of one request; see `kyma_proxy.flow.RequestBody` for what readers may rely on.

    Reads no faster than its reader: while nobody reads, the socket is not read either. With `expects_continue` the
    client waits for `100 Continue`, which is sent on the first read; so a refusal without reading costs it nothing.
    A large piece is read when it is this body's turn among `turns`.
    """

    def __init__(
        self, request: BaseRequest, content_length: int | None, pace: BodyPace, expects_continue: bool, turns: Turns
    ) -> None:
        self._request = request
        self._content = request.content
        self._content_length = content_length
        self._pace = pace
        self._continue_owed = expects_continue
        self._turns = turns
        self._comes_fast = content_length is None or content_length >= LARGE_BYTES
        self._max_bytes: int | None = None
        self.received_bytes = 0
        """How much was handed to readers so far."""

    def __repr__(self) -> str:
        return f"IncomingBody(received_bytes={self.received_bytes}, content_length={self._content_length})"

    @property
    def content_length(self) -> int | None:
        """Bytes announced by `Content-Length`; None for a chunked body; 0 where there is none."""
        return self._content_length

    @property
    def arrived(self) -> bool:
        """Whether the client has sent all of it, read or not: only then can the connection serve another request."""
        return self._content.is_eof()

    def narrow(self, max_bytes: int) -> None:
        """Refuse more than `max_bytes` from here on; raises GatewayError TOO_LARGE when it is known to be more."""
        self._max_bytes = max_bytes if self._max_bytes is None else min(self._max_bytes, max_bytes)
        known_bytes = self.received_bytes if self._content_length is None else self._content_length
        if known_bytes > self._max_bytes:
            raise self._too_large(known_bytes)

    def whole(self) -> bytes | None:
        """All of it, if it has arrived and is small; see RequestBody."""
        content = self._content
        if self._comes_fast or self.received_bytes or not content.is_eof() or content.exception() is not None:
            return None
        self._continue_owed = False  # a client that did not wait needs no invitation
        chunk = content.read_nowait()
        self.received_bytes = len(chunk)
        return chunk

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks as they arrive; a second iteration goes on where the first one stopped."""
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; raises what `RequestBody` says."""
        if self._comes_fast:
            await self._turns.next(self._pace)
        chunk = await self._read()
        if not chunk:
            raise StopAsyncIteration
        self._comes_fast = len(chunk) >= LARGE_BYTES
        if self._max_bytes is not None and self.received_bytes > self._max_bytes:
            raise self._too_large(self.received_bytes)
        return chunk

    async def _read(self) -> bytes:
        self._send_continue()
        try:
            # What is here already needs no limit of time.
            chunk = self._content.read_nowait()
            if chunk or self._content.at_eof():
                self.received_bytes += len(chunk)
                return chunk
            return await self._wait()
        except TimeoutError as error:
            raise GatewayError(
                ErrorCode.REQUEST_TIMEOUT,
                f"No byte of the body arrived for {self._pace.idle_seconds:g} seconds.",
                close_connection=True,
            ) from error
        except RequestPayloadError as error:
            raise BrokenFramingError from error
        except OSError as error:
            raise ClientLeftError("the client hung up while sending its body") from error
        except RuntimeError as error:
            if self._request.transport is not None:
                raise
            raise ClientLeftError("the client hung up while sending its body") from error

    async def _wait(self) -> bytes:
        started = monotonic_seconds()
        async with asyncio.timeout(self._pace.idle_seconds):
            chunk = await self._content.readany()
        self.received_bytes += len(chunk)
        if chunk and not self._pace.waited(monotonic_seconds() - started, self.received_bytes):
            raise GatewayError(ErrorCode.REQUEST_TIMEOUT, "The body arrives too slowly.", close_connection=True)
        return chunk

    def _send_continue(self) -> None:
        if not self._continue_owed:
            return
        self._continue_owed = False
        transport = self._request.transport
        # A client that did not wait needs no invitation any more (RFC 9110 section 10.1.1).
        if transport is not None and not self._content.total_bytes and not self._content.is_eof():
            transport.write(_CONTINUE)

    def _too_large(self, known_bytes: int) -> GatewayError:
        message = f"The body has {known_bytes} bytes or more; at most {self._max_bytes} are accepted here."
        return GatewayError(ErrorCode.TOO_LARGE, message, close_connection=True)
