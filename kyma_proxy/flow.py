"""One request's story: what came in, what plugins learnt about it, what goes out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.observe.endings import Ending


class ClientLeftError(ConnectionError):
    """The client hung up while its body was being read or its answer written."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request is charged to. Voices and money belong to the account, never to a key."""

    account_id: str
    key_id: str


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """The request target in its two forms.

    `raw_path` and `raw_query` are what the client sent, for forwarding byte for byte (`raw_query` is None without a
    `?`, empty after a lone one). `path` is canonical: it alone decides guards and routes, so that no spelling of a
    guarded path slips past its guard.
    """

    raw_path: str
    raw_query: str | None
    path: str


class RequestBody(Protocol):
    """The request's body as a stream that is read once, with a bound that plugins may only narrow."""

    @property
    def content_length(self) -> int | None:
        """Bytes announced by `Content-Length`; None for a chunked body; 0 where there is none."""

    def narrow(self, max_bytes: int) -> None:
        """Refuse more than `max_bytes` from here on.

        Raises GatewayError TOO_LARGE at once when `Content-Length` already says more: before `100 Continue` is sent.
        """

    def whole(self) -> bytes | None:
        """All of it, if it is here already, is small and has an announced length; it then counts as read.

        None where it must be read piece by piece.
        """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks as they arrive.

        Raises GatewayError TOO_LARGE past the bound, REQUEST_TIMEOUT when the client goes silent, INVALID_REQUEST
        when the framing breaks, and ClientLeftError when the client hangs up.
        """


async def read_whole(body: RequestBody) -> bytes:
    """All of a body, once it has arrived; narrow it first. Raises what reading it piece by piece does."""
    whole = body.whole()
    return b"".join([piece async for piece in body]) if whole is None else whole


class WholeBody:
    """A body that a plugin has read already, byte for byte, to be forwarded from memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def content_length(self) -> int:
        """Its size in bytes."""
        return len(self.content)

    def narrow(self, max_bytes: int) -> None:
        """Raises GatewayError TOO_LARGE when the body is larger than `max_bytes`."""
        if len(self.content) > max_bytes:
            raise GatewayError(ErrorCode.TOO_LARGE, f"The body is over {max_bytes} bytes.")

    def whole(self) -> bytes:
        """The bytes."""
        return self.content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes in one piece; as often as asked."""
        if self.content:
            yield self.content


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a request: how it ended, and what the client's socket took of its answer.

    `status` is None where nothing was answered; `body_bytes` are those of the answer's body.
    """

    status: int | None
    ending: Ending
    body_bytes: int


@dataclass(frozen=True, slots=True)
class VoiceAtProvider:
    """Where a voice lives: the upstream, the account at its provider, and the id that it has there."""

    upstream: str
    provider_account: str
    provider_voice_id: str


class FlowTrace(Protocol):
    """The trace of a request, where traces are made."""

    def asking(self, upstream: str) -> str:
        """An upstream is asked from now on; what it is to be told in `traceparent`."""

    def answered(self, status: int | None) -> None:
        """The upstream has answered, or failed (None)."""


@dataclass(slots=True)
class Flow:
    """A request on its way through the plugins.

    Plugins read the request, may set `identity` and `context`, and add `facts` for the log line. `model` is set by
    the plugin that parsed the body; routes with `models` look at it.
    """

    id: str
    method: str
    target: RequestTarget
    headers: CIMultiDictProxy[str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: RequestBody
    client_address: str
    scheme: str = "http"
    host: str = ""
    forwarded_for: str = ""
    """What an upstream is told in `X-Forwarded-For`: the client's address, and trusted proxies behind it."""
    identity: Identity | None = None
    model: str | None = None
    document: Mapping[str, Any] | None = None
    """The JSON body as a plugin parsed and checked it: what an adapter builds its own request from."""
    voices_at_provider: Mapping[str, VoiceAtProvider] = field(default_factory=dict)
    """Where those of the request's voices live that are on file."""
    context: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    voice_gone: bool = False
    """Whether the provider says that it has no voice of the request's id."""
    charged: bool = False
    """Whether the account was charged for this request. From then on no refusal is told of it: a failure ends the
    connection without an answer, and a retry finds what was bought."""
    wants_websocket: bool = False
    """Whether the client asks to go on as a WebSocket. Only a forwarding upstream can answer that with a 101."""
    trace: FlowTrace | None = None
    """Where traces are made: told of what is asked of upstreams."""
    traceparent: str | None = None
    """What the upstream is told of the trace; None where nobody here makes any."""
    client_connected: Callable[[], bool] = lambda: True
    """Asks the connection now, cheaply: False once the client hung up or closed its half of the connection."""
    _callbacks: list[Callable[[Delivery], None]] = field(default_factory=list, init=False, repr=False)

    @property
    def path(self) -> str:
        """The canonical path."""
        return self.target.path

    def when_ended(self, callback: Callable[[Delivery], None]) -> None:
        """Have `callback` told once of what became of the request, however it ends, before its line is logged.

        It must be quick: what takes time goes into a task of its own.
        """
        self._callbacks.append(callback)

    def end(self, delivery: Delivery) -> None:
        """The request is over; called once, by the listener. Raises ExceptionGroup once all callbacks were told."""
        errors = []
        while self._callbacks:
            try:
                self._callbacks.pop()(delivery)
            except Exception as error:  # noqa: BLE001  # collected
                errors.append(error)
        if errors:
            raise ExceptionGroup("callbacks of an ended request failed", errors)


class ReplyStream(Protocol):
    """A body that arrives piece by piece and owns what it came from."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces as they arrive. An exception means the body broke off: the client's connection is then reset."""

    async def aclose(self) -> None:
        """Release the connection behind it; called exactly once, however the reply ended."""


@dataclass(frozen=True, slots=True)
class RawConnection:
    """A connection that has left HTTP, in the hands of a protocol of its own.

    `early` are the bytes that had arrived already. `lost` is to be called once when the connection has ended, with
    what asyncio said of its end.
    """

    transport: asyncio.Transport
    early: bytes
    lost: Callable[[Exception | None], None]


class ReplyTunnel(ABC):
    """The body of a 101: an upstream's connection on which both sides go on in another protocol."""

    idle_seconds: float
    """How long both sides may be silent."""

    @abstractmethod
    def hand_over(self, protocol: asyncio.Protocol) -> RawConnection:
        """Give the connection away, at most once: from now on `protocol` is told of what happens on it."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release what is left; cuts a connection that was not handed over. Called exactly once."""


@dataclass(slots=True)
class Reply:
    """An answer: whole (`body` is bytes), streaming, or, with status 101, the way into a tunnel.

    `forwarded` marks an upstream's answer: its head goes out as it came, with nothing added but hop-by-hop rules.
    """

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes | ReplyStream | ReplyTunnel = b""
    phrase: str | None = None
    forwarded: bool = False

    @classmethod
    def json(cls, body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> Reply:
        """A JSON answer of our own from encoded text."""
        return cls(status, CIMultiDict({"Content-Type": "application/json", **(headers or {})}), body)
