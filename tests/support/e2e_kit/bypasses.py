"""Ways to speak with another account's voice, as bytes on the wire. None of them may come through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from e2e_kit.bypass_bodies import places, spellings, syntax
from e2e_kit.bypass_wire import codings, credentials, framing, targets
from e2e_kit.speech_wire import Names


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection's worth of bytes."""

    name: str
    wire: bytes
    status: int | None
    """What it is refused with; None: the gateway still waits for more."""


def attempts(names: Names) -> Iterator[Attempt]:
    """The whole corpus."""
    for kind in (places, spellings, syntax, codings, targets, framing, credentials):
        for name, wire, status in kind(names):
            yield Attempt(f"{kind.__name__}: {name}", wire, status)
