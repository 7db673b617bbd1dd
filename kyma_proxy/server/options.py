"""What the data listener is told by whoever starts it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.observe.tracing import Tracing
from kyma_proxy.server.cors import Cors

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """Limits and switches of the data listener; the defaults are those of production.

    With `handler_cancellation` a request's task is cancelled when its client hangs up; without it (the default, since
    money may be moving) leaving is noticed at the next read or write. aiohttp's own default differs between its test
    server and its production server, so it is always passed on explicitly.
    """

    handler_cancellation: bool = False
    head_timeout_seconds: float = 30.0
    keepalive_seconds: float = 75.0
    """How long an idle connection stays open: longer than the 60 s of common load balancers in front."""
    body_idle_timeout_seconds: float = 30.0
    body_bytes_per_second_min: int = 1024
    """Of the whole body, waiting for the client alone counted, after a first idle time: a trickle holds no slot."""
    send_timeout_seconds: float = 120.0
    """How long a client may refuse to take any byte of its answer before the connection is reset."""
    linger_seconds: float = 5.0
    linger_bytes: int = 32 * MIB
    """What is read and thrown away of a body nobody wanted, so that the client gets to read the answer."""
    read_buffer_bytes: int = 64 * 1024
    max_line_bytes: int = 8190
    max_header_bytes: int = 8190
    max_headers: int = 128
    max_url_bytes: int = 8190
    max_connections: int = 10_000
    max_requests: int = 5_000
    backlog: int = 512
    reuse_port: bool = False
    tls: ssl.SSLContext | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose `X-Forwarded-For`, `-Proto` and `-Host` are believed."""
    cors: Cors | None = None
    tracing: Tracing | None = None
    failpoints: Failpoints = NO_FAILPOINTS
