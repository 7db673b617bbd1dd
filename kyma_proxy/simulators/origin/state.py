"""What the simulated origin keeps: balances, designed voices, the age of the voice list, the history of calls."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TypeVar

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.simulators.faults import FaultBook
from kyma_proxy.simulators.origin.faults import Behaviour, Fault
from kyma_proxy.simulators.origin.replies import Bill, RefusalError

_T = TypeVar("_T")
CALLS_MAX = 1000
KEYS_MAX = 10_000
VOICES_MAX = 10_000
VOICE_LIST_SECONDS = 300


@dataclass(slots=True)
class Call:
    """One request as it arrived, and what became of it; recorded as soon as its head is there.

    `target` is the path and query byte for byte, `path` the decoded path; header and target bytes beyond ASCII are
    Latin-1. `body_bytes` grows while the body comes in; `body_sha256` is set once all of it is there, the names of
    the form's fields too. `reply_status` is set when there is something to say, `reply_complete` once all of it
    was handed to the connection, on which the caller still was.
    """

    method: str
    target: str
    path: str
    headers: list[tuple[str, str]]
    body_bytes: int = 0
    body_sha256: str | None = None
    form_fields: list[str] = field(default_factory=list)
    reply_status: int | None = None
    reply_bytes: int = 0
    reply_complete: bool = False


class State:
    """What the origin holds; everything in it is bounded, the oldest goes first. An API key stands for its user."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.initial_behaviour = behaviour
        self.behaviour = behaviour
        self.faults: FaultBook[Fault] = FaultBook()
        self.calls: deque[Call] = deque(maxlen=CALLS_MAX)
        self._balances: OrderedDict[str, int] = OrderedDict()
        self._voice_owners: OrderedDict[str, str] = OrderedDict()
        self._voices_listed_at: float | None = None

    def __repr__(self) -> str:
        return f"State(voices={len(self._voice_owners)}, calls={len(self.calls)})"

    def reset(self) -> None:
        """Forget everything."""
        self.behaviour = self.initial_behaviour
        self.faults.clear()
        for kept in (self.calls, self._balances, self._voice_owners):
            kept.clear()
        self._voices_listed_at = None

    def balance_micros(self, key: str) -> int:
        """What the key's user has left."""
        return self._balances.get(key, self.behaviour.starting_balance_usd)

    def charge(self, key: str, model: str, cost_micros: int, *, refusal: str = "billing_error") -> Bill:
        """Take the cost. Raises RefusalError with the endpoint's own 402 code if there is less than that."""
        left = self.balance_micros(key) - cost_micros
        if left < 0:
            raise RefusalError(refusal)
        _keep(self._balances, key, left, KEYS_MAX)
        return Bill(model, cost_micros, left)

    def add_voice(self, key: str) -> str:
        """A new designed voice of the key's user: `kyma_` and 16 lower-case hex."""
        voice_id = f"kyma_{secrets.token_hex(8)}"
        _keep(self._voice_owners, voice_id, key, VOICES_MAX)
        return voice_id

    def check_voice(self, key: str, voice_id: str) -> None:
        """Raises RefusalError 403 if the voice is another user's; ids that are not on file are system voices."""
        if self._voice_owners.get(voice_id, key) != key:
            raise RefusalError("voice_not_owned")

    @property
    def voice_count(self) -> int:
        """How many designed voices there are."""
        return len(self._voice_owners)

    def list_voices_cached(self) -> bool:
        """Whether the voice list is still cached; if not it is from now on, for 5 minutes and for every caller."""
        now = monotonic_seconds()
        if self._voices_listed_at is not None and now - self._voices_listed_at < VOICE_LIST_SECONDS:
            return True
        self._voices_listed_at = now
        return False


def _keep(kept: OrderedDict[str, _T], name: str, value: _T, most: int) -> None:
    kept[name] = value
    kept.move_to_end(name)
    while len(kept) > most:
        kept.popitem(last=False)
