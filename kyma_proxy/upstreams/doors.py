"""The base URLs of one upstream: several doors to the same origin or provider account, each with its breaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from yarl import URL

from kyma_proxy.settings import BreakerSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.breaker import Breaker
from kyma_proxy.upstreams.exchange import OutgoingRequest


class UpstreamNumbers(Protocol):
    """Told of what happens to an upstream's doors; `door` is a host and a port."""

    def failed(self, upstream: str, door: str, kind: str) -> None:
        """An exchange failed."""

    def known(self, upstream: str, door: str) -> None:
        """There is such a breaker, and it is closed."""

    def breaker(self, upstream: str, door: str, state: str) -> None:
        """A breaker changed."""

    def connected(self, upstream: str, seconds: float) -> None:
        """A new connection was made within so long."""

    def opened(self, upstream: str) -> None:
        """A connection is there; `closed` follows once."""

    def closed(self, upstream: str) -> None:
        """A connection has ended."""


@dataclass(frozen=True, slots=True)
class Health:
    """What watches over an upstream: its breakers' settings, None without any; who is told; who keeps the probes."""

    upstream: str
    settings: BreakerSettings | None
    numbers: UpstreamNumbers
    tasks: Tasks

    def connected(self, seconds: float) -> None:
        """A new connection was made within so long."""
        self.numbers.connected(self.upstream, seconds)

    def opened(self) -> None:
        """A connection is there."""
        self.numbers.opened(self.upstream)

    def closed(self) -> None:
        """A connection has ended."""
        self.numbers.closed(self.upstream)


@dataclass(slots=True, eq=False)
class Door:
    """One base URL."""

    base: URL
    weight: int = 1
    breaker: Breaker | None = None
    prefix: str = field(init=False)
    host: str = field(init=False)
    owed: int = field(default=0, init=False)
    """How much more often than it was it should have been chosen by now."""

    def __post_init__(self) -> None:
        self.prefix = self.base.raw_path.rstrip("/")
        self.host = self.base.host_port_subcomponent or ""

    @property
    def name(self) -> str:
        """Host and port, for logs and metrics."""
        return f"{self.base.host}:{self.base.port}"

    @property
    def admits(self) -> bool:
        """Whether requests may go through it."""
        return self.breaker is None or self.breaker.admits


class Doors:
    """Chooses among them."""

    def __init__(self, bases: Sequence[tuple[str, int]], watch: Callable[[Door], Breaker | None]) -> None:
        self.all = tuple(Door(URL(base), weight) for base, weight in bases)
        for door in self.all:
            door.breaker = watch(door)

    def __repr__(self) -> str:
        return f"Doors({', '.join(f'{door.base}' for door in self.all)})"

    @property
    def first(self) -> Door:
        """The one that requests are written down for."""
        return self.all[0]

    def choose(self, tried: Sequence[Door] = ()) -> Door | None:
        """The next one that admits requests and was not `tried`, each as often as its weight says; None without one."""
        if len(self.all) == 1:
            door = self.all[0]
            return door if door.admits and not tried else None
        able = [door for door in self.all if door.admits and door not in tried]
        if not able:
            return None
        # Smooth weighted round robin, as nginx does it: no door is chosen many times in a row.
        for door in able:
            door.owed += door.weight
        chosen = max(able, key=lambda door: door.owed)
        chosen.owed -= sum(door.weight for door in able)
        return chosen

    def wait_seconds(self) -> float:
        """How long until one of them may be usable again."""
        return min((door.breaker.wait_seconds for door in self.all if door.breaker is not None), default=0.0)

    def through(self, door: Door, request: OutgoingRequest) -> OutgoingRequest:
        """A request that was written down for the first one, for another one."""
        if door is self.first:
            return request
        headers = request.headers.copy()
        headers["Host"] = door.host
        return replace(request, target=door.prefix + request.target[len(self.first.prefix) :], headers=headers)
