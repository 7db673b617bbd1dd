"""What must be true of the books, the provider and the client's knowledge once the dust has settled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.ledger.audit import audit
from kyma_proxy.simulators.minimax import MiniMaxSimulator

PRICE = 2_100_000

_STATE = """
SELECT (SELECT balance_micros FROM accounts WHERE account_id = $1) AS balance,
       (SELECT held_micros FROM accounts WHERE account_id = $1) AS held,
       (SELECT count(*) FROM holds WHERE account_id = $1 AND state = 'held') AS open_holds,
       (SELECT count(*) FROM holds WHERE account_id = $1 AND state = 'posted') AS posted,
       (SELECT count(*) FROM mints WHERE account_id = $1 AND lease_until IS NOT NULL) AS leased,
       (SELECT count(*) FROM provider_cleanups) AS cleanups,
       (SELECT coalesce(array_agg(voice_id ORDER BY voice_id), '{}') FROM voices
        WHERE account_id = $1 AND status = 'active') AS active,
       (SELECT coalesce(array_agg(coalesce(provider_voice_id, voice_id)), '{}') FROM voices
        WHERE account_id = $1 AND status = 'active') AS made,
       (SELECT coalesce(array_agg(voice_id ORDER BY voice_id), '{}') FROM voices
        WHERE account_id = $1 AND status NOT IN ('active', 'failed')) AS unfinished
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a client was told: a status and the voice that came with it, or nothing at all."""

    status: int | None
    voice_id: str | None = None
    code: str | None = None
    replayed: bool = False

    def __str__(self) -> str:
        return "none" if self.status is None else str(self.status)


@dataclass(frozen=True, slots=True)
class Books:
    """The state of one account and its voices, and of the provider's."""

    balance: int
    held: int
    open_holds: int
    posted: int
    leased: int
    cleanups: int
    active: tuple[str, ...]
    made: frozenset[str]
    """The active voices, as the provider calls them."""
    unfinished: tuple[str, ...]
    at_provider: frozenset[str]
    problems: tuple[str, ...] = field(default=())

    @property
    def settled(self) -> bool:
        """Whether nothing is under way any more."""
        return not (self.held or self.open_holds or self.leased or self.cleanups or self.unfinished)


async def read_books(database: Database, account_id: str, minimax: MiniMaxSimulator) -> Books:
    """The books as they are now; the audit's problems only once they are settled, because it takes longer."""

    async def read(connection: Connection) -> dict[str, object]:
        return dict(await connection.fetchrow(_STATE, account_id))

    row = await database.transact(read)
    row |= {"active": tuple(row["active"]), "unfinished": tuple(row["unfinished"]), "made": frozenset(row["made"])}  # type: ignore[call-overload]
    books = Books(**row, at_provider=frozenset(minimax.voices))  # type: ignore[arg-type]
    if not books.settled:
        return books
    return Books(**row, at_provider=books.at_provider, problems=(await database.borrow(audit)).problems)  # type: ignore[arg-type]


def violations(books: Books, credit: int, told: list[Told], *, may_be_left: bool = False) -> list[str]:
    """Every rule that does not hold: of the books themselves, and between them and what clients were told.

    With `may_be_left` voices may stay at the provider that nobody here ever heard of.
    """
    found = [f"audit: {each}" for each in books.problems]
    if not books.settled:
        found.append(f"not settled: {books.open_holds} open holds, {books.leased} leases, {books.cleanups} clean-ups")
    if books.balance != credit - books.posted * PRICE:
        found.append(f"balance is {books.balance} after {books.posted} charges of {credit}")
    if books.balance < books.held:
        found.append(f"{books.held} held and charged beyond a balance of {books.balance}")
    if books.posted != len(books.active):
        found.append(f"{books.posted} charges for {len(books.active)} active voices")
    if missing := books.made - books.at_provider:
        found.append(f"paid for but not made: {missing}")
    if (extra := books.at_provider - books.made) and not may_be_left:
        found.append(f"at the provider though nobody paid: {extra}")
    sold = {each.voice_id for each in told if each.status == 200}
    if not sold <= set(books.active):
        found.append(f"told 200 of {sold}, active is {books.active}")
    silent = sum(each.status is None for each in told)
    if len(books.active) > len(sold) + silent:
        answers = dict(Counter(map(str, told)))
        found.append(f"charged {len(books.active)} times, clients were told {answers}")
    return found
