"""What the books must be, in plain Python: lists, integers and the contract's rules. Nothing of the product is used."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["pending", "active", "failed", "revoked"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request for a voice, as its client sends it."""

    account: str
    content: str
    key: str | None = None
    is_retry: bool = False
    is_connected: bool = True


@dataclass(eq=False)
class Mint:
    """A voice on file, with what was written of its mint; `hold` and `lease` are None where there never was one."""

    account: str
    content: str
    voice_id: str | None = None
    state: State = "pending"
    hold: str | None = "held"
    lease: Literal["live", "out"] | None = "live"
    told_balance: int | None = None
    is_old: bool = False
    cleanup: Literal["open", "over"] | None = None
    is_at_provider: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a client is told: a word, and for a 200 which voice, and whether it is told again."""

    word: str
    mint: Mint | None = None
    is_again: bool = False


@dataclass
class _Entry:
    kind: str
    amount: int
    is_reversed: bool = False


@dataclass
class _Hold:
    account: str
    amount: int
    state: str = "held"


@dataclass
class _Key:
    content: str
    mint: Mint
    is_old: bool = False


_NOTHING = Told("nothing")
_REPEATED = ("before", "crash", "rolled back", "unsent")
"""What may happen to a transaction and leaves nothing behind."""


@dataclass
class Reference:
    """Every account, entry, hold, voice and key there must be, and what each call must return."""

    price: int
    entries: dict[str, list[_Entry]] = field(default_factory=dict)
    refs: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    holds: dict[str, _Hold] = field(default_factory=dict)
    mints: list[Mint] = field(default_factory=list)
    keys: dict[tuple[str, str], _Key] = field(default_factory=dict)
    is_provider_there: bool = True

    def balance(self, account: str) -> int:
        """Posted, in micro-dollars."""
        return sum(each.amount for each in self.entries[account])

    def held(self, account: str) -> int:
        """Set aside, in micro-dollars."""
        direct = sum(each.amount for each in self.holds.values() if (each.account, each.state) == (account, "held"))
        return direct + self.price * sum((each.account, each.hold) == (account, "held") for each in self.mints)

    def available(self, account: str) -> int:
        """What may still be spent, in micro-dollars."""
        return self.balance(account) - self.held(account)

    def open(self, account: str, credit: int) -> None:
        """A new account."""
        self.entries[account] = [_Entry("credit", credit)] if credit else []

    def adjust(self, account: str, kind: str, amount: int, ref: str | None) -> str:
        """Credit or debit by hand."""
        if ref is not None and (account, ref) in self.refs:
            return "entered before" if self.refs[account, ref] == (kind, amount) else "ref reused"
        signed = amount if kind == "credit" else -amount
        if self.available(account) + signed < 0:
            return "insufficient"
        self.entries[account].append(_Entry(kind, signed))
        if ref is not None:
            self.refs[account, ref] = (kind, amount)
        return "entered"

    def reverse(self, account: str, number: int) -> str:
        """Take back the account's entry of this number, from 0 on."""
        if number >= len(self.entries[account]):
            return "unknown"
        entry = self.entries[account][number]
        if entry.kind == "reversal":
            return "a reversal"
        if entry.is_reversed:
            return "reversed before"
        if self.available(account) - entry.amount < 0 < entry.amount:
            return "insufficient"
        entry.is_reversed = True
        self.entries[account].append(_Entry("reversal", -entry.amount))
        return "reversed"

    def hold(self, account: str, hold_id: str, amount: int) -> str:
        """Set money aside for nothing in particular."""
        if self.available(account) < amount:
            return "insufficient"
        self.holds[hold_id] = _Hold(account, amount)
        return "held"

    def end_hold(self, account: str, hold_id: str, state: str) -> str:
        """Post, void or expire."""
        hold = self.holds.get(hold_id)
        if hold is None or (hold.account, hold.state) != (account, "held"):
            return "ended before"
        hold.state = state
        if state == "posted":
            self.entries[account].append(_Entry("charge", -hold.amount))
            return f"posted: {self.balance(account)}"
        return state

    def find(self, request: Request) -> Told | None:
        """What became of the same request: a refusal, its reply, or `running`."""
        if request.key is not None:
            key = self.keys.get((request.account, request.key))
            if key is None or key.is_old:
                return None
            if key.content != request.content:
                return Told("idempotency_key_reused")
            return Told("200", key.mint, True) if key.mint.told_balance is not None else Told("request_in_progress")
        for mint in reversed(self.mints if request.is_retry else []):
            if (mint.account, mint.content) == (request.account, request.content):
                if mint.lease is not None:
                    return Told("running", mint)
                if mint.told_balance is not None and not mint.is_old:
                    return Told("200", mint, True)
        return None

    def ask(self, request: Request, faults: deque[str]) -> Told | Mint:
        """Begin a mint: what the client is told already, or the mint that is now the provider's turn."""
        fault = faults.popleft() if faults else "ok"
        if fault in ("before", "crash", "dies"):
            return {"before": Told("unavailable"), "crash": Told("crash"), "dies": _NOTHING}[fault]
        told = self.find(request)
        if told is None and not request.is_connected:
            told = Told("client left")
        elif told is None and self.available(request.account) < self.price:
            told = Told("insufficient_credits")
        if told is not None and told.word not in ("200", "running"):
            return told
        mint = Mint(request.account, request.content)
        if told is None and fault in ("ok", "lost", "dies after"):
            self.mints.append(mint)
            if request.key is not None:
                self.keys[request.account, request.key] = _Key(request.content, mint)
        if fault == "ok":
            return mint if told is None else told
        if fault in ("lost", "unsent") and self._undo(mint, faults, may_be_left=False):
            return Told("unavailable")
        return Told("unavailable") if fault == "rolled back" else _NOTHING

    def answer(self, mint: Mint, word: str, faults: deque[str], is_patient: bool) -> list[Told]:
        """What the client may be told when the provider has said this: one thing, or two where time decides."""
        if word == "made":
            return self._complete(mint, faults, is_patient)
        is_undone = self._undo(mint, faults, may_be_left=word != "refused")
        told = Told("crash") if word == "broken" else Told("provider_error")
        return [told if is_undone else _NOTHING]

    def _complete(self, mint: Mint, faults: deque[str], is_patient: bool) -> list[Told]:
        in_doubt = False
        while True:
            fault = faults.popleft() if faults else "ok"
            if fault == "dies":
                return [_NOTHING]
            if fault not in ("before", "crash"):
                if mint.told_balance is None:
                    if mint.lease != "live":
                        return self._give_up(mint, faults, in_doubt)
                    in_doubt = False
                    if fault in ("ok", "lost", "dies after"):
                        self._charge(mint)
                if fault in ("ok", "dies after"):
                    return [Told("200", mint) if fault == "ok" else _NOTHING]
                in_doubt = in_doubt or fault in ("lost", "unsent")
            if not is_patient or (fault == "crash" and not in_doubt):
                # What a fault of our own leaves in doubt is read back for as long as anything else.
                return self._give_up(mint, faults, in_doubt)

    def _charge(self, mint: Mint) -> None:
        mint.state, mint.hold, mint.lease = "active", "posted", None
        self.entries[mint.account].append(_Entry("charge", -self.price))
        mint.told_balance = self.balance(mint.account)

    def _give_up(self, mint: Mint, faults: deque[str], in_doubt: bool) -> list[Told]:
        """A 500 is said only of what is known not to be committed."""
        unknown = [Told("unknown")] if in_doubt else []
        if not self._undo(mint, faults, may_be_left=True):
            return [_NOTHING, *unknown]
        if mint.state == "failed":
            return [Told("ownership_write_failed"), *unknown]
        fault = faults.popleft() if faults else "ok"
        if fault.startswith("dies"):
            return [_NOTHING, *unknown]
        return [Told("200", mint) if fault == "ok" else Told("unknown"), *unknown]

    def _undo(self, mint: Mint, faults: deque[str], *, may_be_left: bool) -> bool:
        """Fail the voice and void its hold, until it is written; False if the process dies before or right after."""
        while True:
            fault = faults.popleft() if faults else "ok"
            if fault == "dies":
                return False
            if fault not in _REPEATED:
                self._fail(mint, may_be_left=may_be_left)
            if fault == "dies after":
                return False
            if fault == "ok":
                if may_be_left and mint.state == "failed":
                    self._delete(mint)
                return True

    def _fail(self, mint: Mint, *, may_be_left: bool) -> None:
        if mint not in self.mints:
            # Burnt before it came to be.
            mint.hold = mint.lease = None
            self.mints.append(mint)
        if mint.state == "pending":
            mint.state, mint.lease, mint.hold = "failed", None, mint.hold and "voided"
            self.keys = {name: key for name, key in self.keys.items() if key.mint is not mint}
        if may_be_left and mint.state == "failed":
            mint.cleanup = "open"

    def _delete(self, mint: Mint) -> None:
        if self.is_provider_there:
            mint.is_at_provider = False
            mint.cleanup = None if mint.cleanup == "over" else mint.cleanup

    def reconcile(self) -> int:
        """End what is left over, delete what is due; how many mints were ended."""
        left_over = [mint for mint in self.mints if mint.lease == "out"]
        for mint in left_over:
            self._fail(mint, may_be_left=True)
        for mint in self.mints:
            if mint.cleanup is not None:
                self._delete(mint)
        return len(left_over)

    def books(self) -> dict[str, Any]:
        """Everything that must be on file, and at the provider."""
        return {
            "accounts": {account: [self.balance(account), self.held(account)] for account in self.entries},
            "entries": {
                account: [[each.kind, each.amount] for each in entries]
                for account, entries in self.entries.items()
                if entries
            },
            "holds": {hold_id: [each.account, each.amount, each.state] for hold_id, each in self.holds.items()},
            "voices": {each.voice_id: [each.account, each.state, each.hold, each.lease] for each in self.mints},
            "keys": {
                f"{account} {key}": [each.mint.voice_id, each.is_old] for (account, key), each in self.keys.items()
            },
            "cleanups": {each.voice_id: each.cleanup for each in self.mints if each.cleanup},
            "provider": sorted(str(each.voice_id) for each in self.mints if each.is_at_provider),
        }
