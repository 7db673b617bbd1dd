"""The `server` section: listeners, processes, and the limits of the edge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from kyma_proxy.settings.base import DAY_SECONDS, Model, Seconds
from kyma_proxy.settings.fields import BaseUrl, HostPort, ListenAddress, Network

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _origin(value: str) -> str:
    if value != "*" and _ORIGIN.fullmatch(value) is None:
        raise ValueError("must be an origin as browsers send it, such as https://app.example.com, or *")
    return value


def _token(value: str) -> str:
    if _TOKEN.fullmatch(value) is None:
        raise ValueError("must be the name of a header or a method, or *")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
Token = Annotated[str, AfterValidator(_token)]


class CorsSettings(Model):
    """Pages in browsers that may ask the gateway directly."""

    origins: tuple[Origin, ...] = Field(
        description="Origins of those pages, such as https://app.example.com; or only * for all."
    )
    methods: tuple[Token, ...] = Field(
        default=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), description="Methods that they may use."
    )
    headers: tuple[Token, ...] = Field(
        default=("*",), description="Headers that they may send; * for whatever they ask for."
    )
    expose_headers: tuple[Token, ...] = Field(
        default=(
            "Retry-After",
            "X-Request-Id",
            "X-Should-Retry",
            "Idempotent-Replayed",
            "X-Kyma-Model",
            "X-Kyma-Cost-USD",
            "X-Kyma-Balance-USD",
            "X-Kyma-Chars-Billed",
            "X-Kyma-Voice-Expires",
        ),
        description="Headers of answers that they may read.",
    )
    max_age_seconds: int = Field(
        default=600, ge=0, le=DAY_SECONDS, description="How long a browser may remember a permission, in seconds."
    )
    credentials: bool = Field(
        default=False, description="Whether cookies may come along; API keys in Authorization need no such permission."
    )

    @model_validator(mode="after")
    def _browsers_honour_it(self) -> CorsSettings:
        if not self.origins:
            raise ValueError("origins is empty: leave cors out to let nobody in")
        if "*" in self.origins and len(self.origins) > 1:
            raise ValueError("origins: * allows every origin: list nothing beside it")
        if self.credentials and "*" in (*self.origins, *self.expose_headers):
            raise ValueError("with credentials: true browsers take no *: list origins and headers")
        return self


class TlsSettings(Model):
    """The certificate of the data listener."""

    certificate: Path = Field(description="PEM file of the certificate, followed by its chain.")
    key: Path = Field(description="PEM file of its key, without a password. Both are loaded anew when they change.")


class TracingSettings(Model):
    """Where OpenTelemetry traces are sent."""

    endpoint: BaseUrl = Field(
        description="URL of a collector's OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces."
    )
    sample_ratio: float = Field(
        default=0.1, ge=0, le=1, allow_inf_nan=False, description="Which part of the requests without a trace gets one."
    )
    service_name: str = Field(default="kyma-proxy", min_length=1, description="What the traces call this service.")


class ServerSettings(Model):
    """The two listeners and the limits of the edge."""

    listen: ListenAddress = Field(default=HostPort("127.0.0.1", 8080), description="Data plane: HOST:PORT for clients.")
    admin_listen: ListenAddress = Field(
        default=HostPort("127.0.0.1", 9090),
        description="HOST:PORT of /healthz, /readyz, /metrics and /reload; private.",
    )
    workers: int = Field(
        default=1, ge=1, le=256, description="Processes that share the port; several are led by a supervisor."
    )
    event_loop: Literal["asyncio", "uvloop"] = Field(
        default="asyncio", description="Which event loop a process serves on: Python's own, or the faster uvloop."
    )
    drain_seconds: float = Field(
        default=30,
        ge=0,
        le=DAY_SECONDS,
        allow_inf_nan=False,
        description="How long SIGTERM waits for requests in flight, in seconds.",
    )
    drain_pause_seconds: float = Field(
        default=0,
        ge=0,
        le=DAY_SECONDS,
        allow_inf_nan=False,
        description="How long SIGTERM serves on before the drain, with /readyz at 503, for the balancer to see it.",
    )
    settle_seconds: float = Field(
        default=420,
        ge=0,
        le=DAY_SECONDS,
        allow_inf_nan=False,
        description="How long after that it waits for voices being made and paid for, in seconds.",
    )
    head_timeout_seconds: Seconds = Field(
        default=30, description="A request head that is not complete after this many seconds is refused."
    )
    body_idle_timeout_seconds: Seconds = Field(
        default=30, description="A client that sends nothing of its body for this many seconds is refused."
    )
    body_bytes_per_second_min: int = Field(
        default=1024, ge=1, description="A client that sends its body slower than this for long is refused."
    )
    keepalive_timeout_seconds: Seconds = Field(
        default=75, description="An idle connection is closed after this many seconds."
    )
    max_header_bytes: int = Field(
        default=8190,
        ge=1024,
        le=65_536,
        description="Longest request line and longest single header field, in bytes.",
    )
    max_headers: int = Field(default=128, ge=16, le=1024, description="The most header fields of a request.")
    max_url_bytes: int = Field(
        default=8190, ge=256, le=65_536, description="The longest path with its query, in bytes; also max_header_bytes."
    )
    max_connections: int = Field(
        default=10_000, ge=1, description="Connections of one process; one more is answered 503 and closed."
    )
    max_requests_in_flight: int = Field(
        default=5_000, ge=1, description="Requests of one process that are answered at once; one more is 503."
    )
    max_requests_per_account: int | None = Field(
        default=None, ge=1, description="Requests of one account at once, over all upstreams; no limit when left out."
    )
    max_waiting_per_account: int = Field(
        default=16, ge=0, description="Requests of one account that wait in line for their turn; one more is 429."
    )
    max_waiting_seconds: Seconds = Field(
        default=5, description="How long a request waits there before it is refused with 429, in seconds."
    )
    remember_requests: int = Field(
        default=1000, ge=0, le=100_000, description="How many of its last requests a process can explain by their ids."
    )
    ready_without_database: bool = Field(
        default=False, description="Whether /readyz stays 200 while the database is away."
    )
    allow_python_parser: bool = Field(
        default=False,
        description="Whether to start where aiohttp has only its HTTP parser in Python: slower, and not what the tests "
        "of malformed requests run on.",
    )
    tls: TlsSettings | None = Field(
        default=None, description="TLS on the data listener; plain HTTP, for a balancer in front, when left out."
    )
    cors: CorsSettings | None = Field(
        default=None, description="Lets pages in browsers ask the gateway directly; nothing of the kind when left out."
    )
    tracing: TracingSettings | None = Field(
        default=None, description="Sends OpenTelemetry traces; needs the extra `tracing`. None are made when left out."
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(), description="Networks whose X-Forwarded-* headers are believed; from others they are replaced."
    )
