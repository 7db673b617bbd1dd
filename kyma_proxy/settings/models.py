"""The settings as frozen, strict values. Every field says what it is for: the documentation is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, NoReturn, Self, SupportsIndex

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SecretStr, SerializeAsAny, model_validator

from kyma_proxy.plugin import PluginConfig
from kyma_proxy.settings.fields import (
    BaseUrl,
    DatabaseUrl,
    FrozenMapping,
    HeaderSecret,
    HostPort,
    IpNetwork,
    ListenAddress,
    Network,
)
from kyma_proxy.settings.problems import Problem
from kyma_proxy.settings.source import KeyPath, SourceMap

__all__ = [
    "ADAPTERS",
    "CAPABILITIES",
    "CommonUpstreamSettings",
    "DatabaseSettings",
    "ForwardUpstreamSettings",
    "HostPort",
    "IpNetwork",
    "MiniMaxUpstreamSettings",
    "PluginEntry",
    "RouteSettings",
    "ServerSettings",
    "Settings",
    "TlsSettings",
    "UpstreamSettings",
    "UpstreamTimeouts",
]

DAY_SECONDS = 86_400
Seconds = Annotated[float, Field(gt=0, le=DAY_SECONDS, allow_inf_nan=False)]
NonEmpty = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of all settings: strict, frozen, unknown keys are errors, and secrets stay inside the process."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Settings cannot be pickled: a pickle holds secrets in the clear."""
        raise TypeError("settings hold secrets and cannot be pickled; load them again instead")

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> Self:
        """The same settings: they are frozen all the way down."""
        return self


class TlsSettings(Model):
    """The certificate of the data listener."""

    certificate: Path = Field(description="PEM file of the certificate, followed by its chain.")
    key: Path = Field(description="PEM file of its key, without a password. Both are loaded anew when they change.")


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
    trusted_proxies: tuple[Network, ...] = Field(
        default=(), description="Networks whose X-Forwarded-* headers are believed; from others they are replaced."
    )


class DatabaseSettings(Model):
    """Where accounts, money and voices are kept."""

    url: DatabaseUrl = Field(
        default=SecretStr("embedded"),
        description="embedded for a private PostgreSQL, or postgresql://user:password@host/database.",
    )
    data_dir: Path = Field(
        default=Path(".kyma"), description="Folder of the embedded database; relative to the working directory."
    )
    pool_size: int = Field(default=10, ge=1, le=1000, description="Most connections that one process opens.")
    acquire_timeout_seconds: Seconds = Field(
        default=5, description="A request that waits longer than this many seconds for a connection gets 503."
    )
    outage_seconds: float = Field(
        default=300,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="How long keys and voices seen before are believed while the database is away, in seconds;"
        " 0 believes nothing.",
    )

    @model_validator(mode="after")
    def _has_a_folder(self) -> DatabaseSettings:
        if str(self.data_dir) == "." or "\0" in str(self.data_dir):
            raise ValueError("data_dir must name a folder of its own")
        return self


class UpstreamTimeouts(Model):
    """How long an upstream may take, in seconds, for one request."""

    connect_seconds: Seconds = Field(default=10, description="For the connection, TLS included.")
    first_byte_seconds: Seconds = Field(default=300, description="From the request sent to the head of the answer.")
    idle_seconds: Seconds = Field(default=120, description="Between two pieces of the answer's body.")
    total_seconds: Seconds | None = Field(default=None, description="For the whole exchange; no limit when left out.")

    @model_validator(mode="after")
    def _limits_do_not_cross(self) -> UpstreamTimeouts:
        if self.total_seconds is None:
            return self
        written = self.model_fields_set - {"total_seconds"}
        longer = sorted(name for name in written if getattr(self, name) > self.total_seconds)
        if longer:
            raise ValueError(f"{longer[0]} is longer than total_seconds and could never end a request")
        return self


class CommonUpstreamSettings(Model):
    """What every upstream has."""

    base_url: BaseUrl = Field(description="http or https URL, without user, query and fragment; a path is allowed.")
    timeouts: UpstreamTimeouts = Field(default=UpstreamTimeouts(), description="How long this upstream may take.")


class MiniMaxUpstreamSettings(CommonUpstreamSettings):
    """MiniMax's speech API: makes voices, and speech in its own shape."""

    adapter: Literal["minimax"] = Field(default="minimax", description="Which adapter speaks to it: minimax.")
    api_key: HeaderSecret = Field(description="The provider's API key.")
    models: FrozenMapping[NonEmpty] = Field(
        default_factory=lambda: MappingProxyType({}), description="Public model name to the provider's model name."
    )
    group_id: NonEmpty | None = Field(
        default=None, description="GroupId that older keys need; sent as a query parameter when given."
    )
    clone_timeout_seconds: Seconds = Field(
        default=180, description="How long the call that clones a voice may take, in seconds."
    )
    longest_clone_seconds: Seconds = Field(
        default=300,
        description="How long after it was asked the provider may still make a voice, whoever stopped waiting for it, "
        "in seconds; never less than clone_timeout_seconds.",
    )
    max_input_chars: int = Field(
        default=5000, ge=1, le=9999, description="Longest text to speak, in characters (Unicode code points)."
    )
    provider_account: NonEmpty = Field(
        default="default", description="Name for the account at the provider that owns the voices; not a secret."
    )

    @model_validator(mode="after")
    def _provider_outlasts_the_call(self) -> MiniMaxUpstreamSettings:
        written = "longest_clone_seconds" in self.model_fields_set
        if written and self.longest_clone_seconds < self.clone_timeout_seconds:
            raise ValueError("longest_clone_seconds must not be below clone_timeout_seconds")
        return self


class ForwardUpstreamSettings(CommonUpstreamSettings):
    """An origin that requests are forwarded to as they are."""

    adapter: Literal["forward"] = Field(default="forward", description="Which adapter speaks to it: forward.")
    authorization: Literal["pass", "replace"] = Field(
        default="pass", description="pass: the client's credentials go on; replace: api_key goes in their place."
    )
    api_key: HeaderSecret | None = Field(default=None, description="The key that replace sends.")
    websocket_idle_seconds: Seconds = Field(
        default=600,
        description="A WebSocket on which both sides are silent for so long is closed, in seconds; no other limit of "
        "time counts there.",
    )

    @model_validator(mode="after")
    def _key_iff_replaced(self) -> ForwardUpstreamSettings:
        if self.authorization == "replace" and self.api_key is None:
            raise ValueError("authorization: replace needs an api_key")
        if self.authorization == "pass" and self.api_key is not None:
            raise ValueError("api_key is sent only with authorization: replace")
        return self


UpstreamSettings = MiniMaxUpstreamSettings | ForwardUpstreamSettings
ADAPTERS: Final[Mapping[str, type[UpstreamSettings]]] = MappingProxyType(
    {"minimax": MiniMaxUpstreamSettings, "forward": ForwardUpstreamSettings}
)
CAPABILITIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"minimax": frozenset({"voices"}), "forward": frozenset()}
)
"""What an upstream of each adapter can be asked for, besides answering requests."""


class PluginEntry(Model):
    """One plugin of the chain, in its place."""

    use: str = Field(description="The plugin's name.")
    config: SerializeAsAny[PluginConfig] = Field(description="What the plugin is told; its own model has checked it.")


class RouteSettings(Model):
    """Which upstream serves which requests."""

    path: str = Field(description="A path under /v1/audio/, exact or ending in /** for everything below it.")
    methods: tuple[str, ...] | None = Field(default=None, description="HTTP methods; all when left out.")
    models: tuple[str, ...] | None = Field(
        default=None, description="Model names, * stands for any text; when left out the model does not matter."
    )
    upstream: str = Field(description="Name of the upstream that serves it.")


class Settings(Model):
    """The whole configuration: an immutable snapshot."""

    version: Literal[1] = Field(default=1, description="Version of this file's format.")
    server: ServerSettings = Field(default=ServerSettings(), description="Listeners and limits of the edge.")
    database: DatabaseSettings = Field(default=DatabaseSettings(), description="Where the books are kept.")
    upstreams: FrozenMapping[Annotated[UpstreamSettings, Discriminator("adapter")]] = Field(
        default_factory=lambda: MappingProxyType({}), description="Who answers requests, by name."
    )
    plugins: tuple[PluginEntry, ...] = Field(default=(), description="The chain; the first is the outermost.")
    routes: tuple[RouteSettings, ...] = Field(default=(), description="Choose an upstream; the first match wins.")
    source: SourceMap = Field(
        default_factory=lambda: SourceMap("settings"),
        exclude=True,
        repr=False,
        description="Where each value stands in the file.",
    )

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at the value of `path`, such as `("plugins", 1, "use")`, for checks made after loading."""
        return self.source.problem(path, message)
