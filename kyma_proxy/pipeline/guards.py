"""Which guard a request meets: chosen by its canonical path, so that no spelling of a guarded path slips past."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import RequestTarget
from kyma_proxy.pipeline.loader import GUARDABLE_PREFIX
from kyma_proxy.pipeline.paths import is_disguise
from kyma_proxy.plugin import ANY_SEGMENT, Proceed


@dataclass(frozen=True, slots=True)
class Guard:
    """A guarded path, compiled: a chain for each method it serves."""

    path: str
    chains: Mapping[str, Proceed]
    allow: str
    shared: bool = False

    @property
    def methods(self) -> Container[str]:
        """The methods that plugins serve here."""
        return self.chains


class GuardedPath(Protocol):
    """A guarded path, compiled or planned."""

    @property
    def shared(self) -> bool:
        """Whether the route's upstream serves here too (see Endpoint)."""

    @property
    def methods(self) -> Container[str]:
        """The methods that plugins serve there."""

    @property
    def allow(self) -> str:
        """The value of an `Allow` header."""


GuardT = TypeVar("GuardT", bound=GuardedPath)


class Guards(Mapping[str, GuardT]):
    """The guards of a configuration by path, or by the pattern of one."""

    def __init__(self, guards: Mapping[str, GuardT]) -> None:
        self._guards = dict(guards)
        self._exclusive = frozenset(path for path, guard in self._guards.items() if not guard.shared)
        self._has_patterns = any(path.endswith(f"/{ANY_SEGMENT}") for path in self._guards)

    def __getitem__(self, path: str) -> GuardT:
        return self._guards[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._guards)

    def __len__(self) -> int:
        return len(self._guards)

    def at(self, path: str) -> GuardT | None:
        """The guard of a canonical path, whatever the method."""
        guard = self._guards.get(path)
        if guard is None and self._has_patterns:
            guard = self._guards.get(f"{path.rpartition('/')[0]}/{ANY_SEGMENT}")
        return guard

    def met_by(self, method: str, target: RequestTarget) -> GuardT | None:
        """The guard that a request meets, or None where it is forwarded.

        Raises GatewayError INVALID_REQUEST for a guarded path in disguise, NOT_FOUND outside `/v1/audio/`, and
        METHOD_NOT_ALLOWED for a method that a guarded path does not serve; OPTIONS on its exact spelling is forwarded.
        """
        guard = self.at(target.path)
        if guard is None:
            if is_disguise(target.raw_path, self._exclusive):
                raise GatewayError(ErrorCode.INVALID_REQUEST, "Spell this path plainly, without escapes.")
            if not target.path.startswith(GUARDABLE_PREFIX):
                message = f"Nothing is served here: paths start with {GUARDABLE_PREFIX}."
                raise GatewayError(ErrorCode.NOT_FOUND, message)
            return None
        if method in guard.methods:
            return guard
        if guard.shared or (method == "OPTIONS" and target.raw_path == target.path):
            return None
        raise GatewayError(
            ErrorCode.METHOD_NOT_ALLOWED, f"This endpoint serves {guard.allow}.", headers={"Allow": guard.allow}
        )
