"""Where in the file each value stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from kyma_proxy.settings.problems import Problem

KeyPath = tuple[str | int, ...]
"""Keys and list indexes from the root of the file: `("plugins", 1, "use")`."""
Position = tuple[int, int]
"""Line and column, both from 1."""


def _nothing() -> Mapping[KeyPath, Position]:
    return MappingProxyType({})


@dataclass(frozen=True)
class SourceMap:
    """Positions by key path; it holds no values. Pure data, shared by everyone who finds a problem later."""

    file: str
    keys: Mapping[KeyPath, Position] = field(default_factory=_nothing, repr=False)
    values: Mapping[KeyPath, Position] = field(default_factory=_nothing, repr=False)
    from_environment: frozenset[KeyPath] = field(default=frozenset(), repr=False)
    """Values with a `${NAME}` in them: never to be shown."""

    def problem(self, path: KeyPath, message: str, *, at: Literal["key", "value"] = "value") -> Problem:
        """A problem at the value (or the key) of `path`; where that is not in the file, at its nearest parent."""
        while path:
            positions = (self.keys, self.values) if at == "key" else (self.values, self.keys)
            for known in positions:
                if path in known:
                    return Problem(self.file, *known[path], message)
            path, at = path[:-1], "key"
        return Problem(self.file, *self.values.get((), (1, 1)), message)

    def hides(self, path: KeyPath) -> bool:
        """Whether the value of `path`, or a part of it, came from the environment."""
        return any(hidden[: len(path)] == path for hidden in self.from_environment)
