"""The numbers of the books: what is held, what the reconciler did, what the audit found."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from kyma_proxy.voices.keepalive import KeepAliveOutcome
from kyma_proxy.voices.provider import Spoken

Reconciled = Literal["voided", "expired", "deleted", "deletion_failed"]
"""A left-over mint's hold was given back, or one for speech; what a failed mint left at a provider was deleted, or
could not be yet."""
_OUTCOMES: Final[tuple[Reconciled, ...]] = ("voided", "expired", "deleted", "deletion_failed")
Charged = Literal["posted", "voided", "lost"]
_CHARGED: Final[tuple[Charged, ...]] = ("posted", "voided", "lost")
_KEPT_ALIVE: Final[tuple[KeepAliveOutcome, ...]] = ("kept", "lost", "failed")


class BooksMetrics:
    """Gauges of what the books say, the same in every process that asks, and counts of what this process did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        newest = partial(Gauge, registry=registry, multiprocess_mode="mostrecent")
        self._open_holds = newest("kyma_open_holds", "Holds that are neither posted nor given back.")
        self._oldest = newest("kyma_oldest_open_hold_seconds", "Age of the oldest open hold; 0 without one.")
        self._problems = newest("kyma_ledger_problems", "What the last light audit found wrong in the books.")
        self._audited = newest("kyma_ledger_audited_timestamp_seconds", "When the last light audit ended.")
        self._reconciled = Counter(
            "kyma_reconciled_total", "What was ended for processes that died or failed.", ["outcome"], registry=registry
        )
        self._charges = Counter(
            "kyma_charges_total",
            "Holds for speech that this process ended; lost is delivered and not charged, as somebody else ended them.",
            ["outcome"],
            registry=registry,
        )
        self._mints = Counter(
            "kyma_mints_total",
            "Voices asked for: made and charged, not made and not charged, or told again.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._kept_alive = Counter(
            "kyma_keep_alive_total",
            "Voices that had never spoken, made to speak before the provider deletes them: kept, lost already, failed.",
            ["outcome"],
            registry=registry,
        )
        self._house_characters = Counter(
            "kyma_house_characters_total", "Characters spoken at the cost of the house.", registry=registry
        )
        self._house_voices = Counter(
            "kyma_house_voices_total", "Voices whose first use was at the cost of the house.", registry=registry
        )
        for kept in _KEPT_ALIVE:
            self._kept_alive.labels(kept)
        for outcome in _OUTCOMES:
            self._reconciled.labels(outcome)
        for charged in _CHARGED:
            self._charges.labels(charged)

    def measured(self, open_holds: int, oldest_seconds: float | None) -> None:
        """The open holds were counted; `oldest_seconds` is the age of the oldest, None without one."""
        self._open_holds.set(open_holds)
        self._oldest.set(oldest_seconds or 0.0)

    def audited(self, problems: int) -> None:
        """A light audit has ended."""
        self._problems.set(problems)
        self._audited.set_to_current_time()

    def minted(self, kind: str, outcome: str) -> None:
        """A mint has ended."""
        self._mints.labels(kind, outcome).inc()

    def kept_alive(self, outcome: KeepAliveOutcome, spoken: Spoken | None) -> None:
        """A voice that had never spoken was made to speak, at the cost of the house, or could not be."""
        self._kept_alive.labels(outcome).inc()
        if spoken is not None:
            self._house_characters.inc(spoken.characters)
            self._house_voices.inc(spoken.voices)

    def charged(self, outcome: Charged) -> None:
        """A hold for speech was ended."""
        self._charges.labels(outcome).inc()

    def reconciled(self, outcome: Reconciled) -> None:
        """Something was ended that a process had left behind."""
        self._reconciled.labels(outcome).inc()
