"""What a plugin is: the base class, its config, the endpoints it guards and the body it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from kyma_proxy.errors import GatewayError
from kyma_proxy.flow import Flow, Reply

if TYPE_CHECKING:
    from kyma_proxy.services import Services


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """What is wrong with a config beyond its form: where in it, in one line that repeats no secret."""

    path: tuple[str, ...]
    message: str


class PluginConfig(BaseModel):
    """Base of a plugin's config: strict, frozen, unknown keys are errors. Give every field a description."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    def problems(self, skus: frozenset[str]) -> Iterable[ConfigProblem]:
        """What does not fit the rest of the file; `skus` are the models that its upstreams serve themselves."""
        return ()


ConfigT = TypeVar("ConfigT", bound=PluginConfig)
Proceed = Callable[[Flow], Awaitable[Reply]]
"""The rest of the chain: later plugins, then the route's upstream."""


@dataclass(frozen=True, slots=True)
class UpstreamReference:
    """Marks a config field that names an upstream; boot checks that it exists and can do what is asked of it."""

    capability: str | None = None


VoiceProviderName = Annotated[str, UpstreamReference("voices")]
"""A config field that names an upstream which makes voices."""


ANY_SEGMENT: Final = "{id}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that a plugin guards and the methods it serves there; other methods are 405.

    A last segment `{id}` stands for any one segment. At a `shared` endpoint the route's upstream serves too: other
    methods are forwarded, and so is every spelling of the path that is not plainly this one.
    """

    path: str
    methods: frozenset[str]
    shared: bool = False


@dataclass(frozen=True, slots=True)
class WhereverNeeded:
    """Instead of endpoints: the plugin stands on every endpoint where a later plugin needs what it provides."""


WHEREVER_NEEDED: Final = WhereverNeeded()


@dataclass(frozen=True, slots=True)
class NoBody:
    """The plugin does not read the body."""


@dataclass(frozen=True, slots=True)
class Spool:
    """The plugin reads the whole body, at most `max_bytes`; the core counts and refuses more with 413."""

    max_bytes: int


BodyUse = NoBody | Spool


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a plugin says of a file that a client would send it, for `kyma-proxy inspect`.

    `verdict` is `accepted` or what is wrong, in a word; `status`, `code` and `message` are what a client would get.
    `format`, `seconds` and `rule` (what decided) are None where they could not be established.
    """

    verdict: str
    status: int
    code: str | None = None
    message: str | None = None
    format: str | None = None
    seconds: float | None = None
    rule: str | None = None

    @classmethod
    def of_refusal(cls, refusal: GatewayError) -> Inspection:
        """What is said of a file that would be refused like this."""
        return cls(refusal.code.name.lower(), refusal.code.status, refusal.code.code, refusal.message)


class Plugin(ABC, Generic[ConfigT]):
    """One link of the chain around a request.

    Subclass it, name it in the entry-point group `kyma_proxy.plugins`, list it in the YAML. The constructor only
    keeps what it is given; `start` does I/O. A plugin never sees a socket and reads no environment.
    """

    name: ClassVar[str]
    config_model: ClassVar[type[PluginConfig]]
    endpoints: ClassVar[tuple[Endpoint, ...] | WhereverNeeded]
    needs: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    proceeds: ClassVar[bool] = True
    """False for a plugin that answers every request itself, so that no upstream is reached; `explain` tells."""

    def __init__(self, config: ConfigT, services: Services) -> None:
        self.config = config
        self.services = services

    @classmethod
    def body_use(cls, config: ConfigT) -> BodyUse:
        """What this plugin reads of a request's body under this config."""
        return NoBody()

    @classmethod
    def explain(cls, config: ConfigT) -> Mapping[str, str]:
        """Facts for `kyma-proxy explain`: limits, price, upstream."""
        return {}

    @classmethod
    def inspect(cls, config: ConfigT | None, data: memoryview) -> Inspection | None:
        """The verdict on a file's bytes, for `kyma-proxy inspect`; None from a plugin that judges no files.

        Without a `config` the defaults count.
        """
        return None

    async def start(self) -> None:
        """Get ready. If this raises, `stop` is still called and the gateway does not start."""

    async def stop(self) -> None:
        """Release what `start` took, also after a `start` that failed half-way."""

    @abstractmethod
    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Answer the request, or return what `proceed(flow)` gives, perhaps changed.

        Raises GatewayError to refuse. Any other exception is a fault: the request fails with 500.
        """
