"""The settings as frozen, strict values. Every field says what it is for: the documentation is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, SecretStr, SerializeAsAny, model_validator

from kyma_proxy.plugin import PluginConfig
from kyma_proxy.settings.base import Model, NonEmpty, Seconds
from kyma_proxy.settings.fields import BaseUrl, DatabaseUrl, FrozenMapping, HeaderSecret, HostPort, IpNetwork
from kyma_proxy.settings.problems import Problem
from kyma_proxy.settings.server import CorsSettings, ServerSettings, TlsSettings, TracingSettings
from kyma_proxy.settings.source import KeyPath, SourceMap

__all__ = [
    "ADAPTERS",
    "CAPABILITIES",
    "BaseUrlEntry",
    "BreakerSettings",
    "CommonUpstreamSettings",
    "CorsSettings",
    "DatabaseSettings",
    "ForwardUpstreamSettings",
    "HostPort",
    "IpNetwork",
    "MiniMaxUpstreamSettings",
    "Model",
    "PluginEntry",
    "RouteSettings",
    "ServerSettings",
    "Settings",
    "TlsSettings",
    "TracingSettings",
    "UpstreamSettings",
    "UpstreamTimeouts",
]


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


class BreakerSettings(Model):
    """When an upstream's base URL is left alone for a while."""

    failures: int = Field(
        default=5, ge=1, le=1000, description="So many failures with no success in between open the breaker."
    )
    open_seconds: Seconds = Field(
        default=2, description="How long nothing is sent there, until a connection is tried; doubled each time."
    )
    open_seconds_max: Seconds = Field(default=60, description="The longest such pause, in seconds.")

    @model_validator(mode="after")
    def _pauses_do_not_cross(self) -> BreakerSettings:
        if self.open_seconds > self.open_seconds_max:
            raise ValueError("open_seconds is above open_seconds_max")
        return self


class BaseUrlEntry(Model):
    """One of several base URLs."""

    url: BaseUrl = Field(description="As base_url.")
    weight: int = Field(default=1, ge=1, le=1000, description="How often it is used, beside the others.")


class CommonUpstreamSettings(Model):
    """What every upstream has."""

    base_url: BaseUrl | None = Field(
        default=None, description="http or https URL, without user, query and fragment; a path is allowed."
    )
    base_urls: tuple[BaseUrlEntry, ...] = Field(
        default=(),
        description="Instead of base_url: several doors to the same origin, or to the same account at the provider.",
    )
    breaker: BreakerSettings | None = Field(
        default=BreakerSettings(),
        description="When a base URL that fails is left alone for a while; null: never.",
    )
    timeouts: UpstreamTimeouts = Field(default=UpstreamTimeouts(), description="How long this upstream may take.")
    max_requests_per_account: int | None = Field(
        default=None,
        ge=1,
        description="Requests of one account here at once; more wait in line. No limit if left out.",
    )

    @property
    def doors(self) -> tuple[tuple[str, int], ...]:
        """Each base URL with its weight."""
        if self.base_url is not None:
            return ((str(self.base_url), 1),)
        return tuple((str(each.url), each.weight) for each in self.base_urls)

    @model_validator(mode="after")
    def _has_one_kind_of_base_url(self) -> Self:
        if self.base_url is None and not self.base_urls:
            raise ValueError('missing key "base_url"')
        if self.base_url is not None and self.base_urls:
            raise ValueError("base_url and base_urls exclude each other")
        urls = [each.url for each in self.base_urls]
        if len(set(urls)) < len(urls):
            raise ValueError("base_urls names a URL twice: give it a weight instead")
        return self


class MiniMaxAccountSettings(Model):
    """One of several accounts at the provider; its voices are always spoken with its key."""

    provider_account: NonEmpty = Field(description="Name for the account, which stays with its voices; not a secret.")
    api_key: HeaderSecret = Field(description="The account's API key.")
    group_id: NonEmpty | None = Field(default=None, description="GroupId that older keys need.")
    weight: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Its share of new voices, and of speech with voices of the provider's own; 0: only its own voices.",
    )


class MiniMaxUpstreamSettings(CommonUpstreamSettings):
    """MiniMax's speech API: makes voices, and speech in its own shape."""

    adapter: Literal["minimax"] = Field(default="minimax", description="Which adapter speaks to it: minimax.")
    api_key: HeaderSecret | None = Field(
        default=None, description="The provider's API key, where there is one account."
    )
    accounts: Annotated[tuple[MiniMaxAccountSettings, ...], Field(strict=False)] = Field(
        default=(), description="Several accounts in place of api_key, group_id and provider_account."
    )
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
    rate_limits: FrozenMapping[Annotated[int, Field(gt=0)]] = Field(
        default_factory=lambda: MappingProxyType({}),
        description="Calls that an account at the provider takes in a minute, by the provider's model, voice_clone or "
        'voice_design; "*" for each other one. What is over it waits here, or is refused with 429.',
    )
    rate_wait_seconds: Seconds = Field(
        default=2, description="How long a request waits for its turn within the rate limits, in seconds."
    )
    rate_share_per_account: float = Field(
        default=0.5, gt=0, le=1, description="The part of a rate limit that one account may use in a minute."
    )
    unused_voice_hours: Seconds = Field(
        default=168,
        description="How long after it was made the provider deletes a voice that has not spoken yet, in hours.",
    )
    max_input_chars: int = Field(
        default=5000, ge=1, le=9999, description="Longest text to speak, in characters (Unicode code points)."
    )
    provider_account: NonEmpty = Field(
        default="default", description="Name for the account at the provider that owns the voices; not a secret."
    )

    @model_validator(mode="after")
    def _one_key_or_accounts(self) -> MiniMaxUpstreamSettings:
        if (self.api_key is None) is (not self.accounts):
            raise ValueError("give either api_key or accounts")
        if self.accounts:
            if self.group_id is not None or "provider_account" in self.model_fields_set:
                raise ValueError("with accounts, group_id and provider_account stand in each of them")
            names = [each.provider_account for each in self.accounts]
            if len(set(names)) < len(names):
                raise ValueError("two accounts have the same provider_account")
            if not any(each.weight for each in self.accounts):
                raise ValueError("one of the accounts needs a weight above 0")
        return self

    @property
    def all_accounts(self) -> tuple[MiniMaxAccountSettings, ...]:
        """The accounts, whichever way they were given."""
        if self.api_key is None:
            return self.accounts
        return (
            MiniMaxAccountSettings(
                provider_account=self.provider_account, api_key=self.api_key, group_id=self.group_id
            ),
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
    max_body_bytes: int | None = Field(
        default=None, ge=1, description="The largest body of a request, in bytes; no limit when left out."
    )


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
