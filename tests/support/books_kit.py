"""Books with every kind of row in them, and every way in which they can be wrong."""

from __future__ import annotations

from dataclasses import dataclass

from kyma_proxy.database.pool import Database

BALANCE_MICROS = 14_800_000
HELD_MICROS = 2_100_000

# `{n}` is the account's number: acct_{n}, its entries {n}01 to {n}06, its voices kyma_{n}_….
_ACCOUNT = """
INSERT INTO accounts (account_id, name, balance_micros, held_micros) VALUES ('acct_{n}', 'Ada', 14800000, 2100000);
INSERT INTO holds (account_id, hold_id, amount_micros, state, purpose, ended_at) VALUES
    ('acct_{n}', 'active', 2100000, 'posted', 'clone', now()),
    ('acct_{n}', 'revoked', 2100000, 'posted', 'clone', now()),
    ('acct_{n}', 'failed', 2100000, 'voided', 'clone', now()),
    ('acct_{n}', 'expired', 2100000, 'expired', 'clone', now()),
    ('acct_{n}', 'pending', 2100000, 'held', 'clone', NULL),
    ('acct_{n}', 'other', 500000, 'posted', 'other', now());
INSERT INTO entries (account_id, entry_id, debit_account, credit_account, amount_micros, kind, hold_id, reverses, actor)
OVERRIDING SYSTEM VALUE VALUES
    ('acct_{n}', {n}01, 'house:funding', 'acct_{n}', 20000000, 'credit', NULL, NULL, 'test'),
    ('acct_{n}', {n}02, 'acct_{n}', 'house:funding', 1000000, 'debit', NULL, NULL, 'test'),
    ('acct_{n}', {n}03, 'acct_{n}', 'house:revenue', 2100000, 'charge', 'active', NULL, 'test'),
    ('acct_{n}', {n}04, 'acct_{n}', 'house:revenue', 2100000, 'charge', 'revoked', NULL, 'test'),
    ('acct_{n}', {n}05, 'acct_{n}', 'house:revenue', 500000, 'charge', 'other', NULL, 'test'),
    ('acct_{n}', {n}06, 'house:revenue', 'acct_{n}', 500000, 'reversal', NULL, {n}05, 'test');
INSERT INTO voices (voice_id, account_id, status, kind, upstream, provider_account)
SELECT 'kyma_{n}_' || name, 'acct_{n}', status, kind, 'minimax', 'default'
FROM (VALUES ('active', 'active', 'clone'), ('revoked', 'revoked', 'design'), ('failed', 'failed', 'clone'),
             ('expired', 'failed', 'clone'), ('pending', 'pending', 'clone'), ('adopted', 'active', 'adopted'),
             ('burnt', 'failed', 'clone')) AS made (name, status, kind);
INSERT INTO mints (account_id, voice_id, hold_id, fingerprint, lease_until, completed_at,
                   reply_status, reply_headers, reply_body)
SELECT 'acct_{n}', 'kyma_{n}_' || hold_id, hold_id, sha256(hold_id::bytea),
       CASE WHEN hold_id = 'pending' THEN now() + interval '30 seconds' END, CASE WHEN completed THEN now() END,
       CASE WHEN completed THEN 200 END, CASE WHEN completed THEN '{{}}'::text[] END,
       CASE WHEN completed THEN ''::bytea END
FROM (VALUES ('active', true), ('revoked', true), ('failed', false), ('expired', false), ('pending', false))
    AS made (hold_id, completed);
INSERT INTO idempotency_keys (account_id, endpoint, key, fingerprint, voice_id)
SELECT 'acct_{n}', 'clone', name, sha256(name::bytea), 'kyma_{n}_' || name
FROM (VALUES ('active'), ('revoked'), ('pending')) AS claimed (name);
INSERT INTO provider_cleanups (voice_id, due_at, until) VALUES ('kyma_{n}_failed', now(), now());
"""


async def write_accounts(database: Database, numbers: range = range(1, 4)) -> None:
    """Accounts `acct_1`, `acct_2`, … that are in order, each with every kind of row."""
    for number in numbers:
        await database.execute(_ACCOUNT.format(n=number))


async def damage(database: Database, statements: str) -> None:
    """Change the books behind the back of their triggers and foreign keys."""
    await database.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {statements}; COMMIT")


@dataclass(frozen=True)
class Damage:
    """A way in which the books of `acct_2` can be wrong: how it is done, and what is told of it."""

    name: str
    statements: str
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def _entry(entry_id: int, kind: str, sides: str, amount_micros: int, more: str = "NULL, NULL") -> str:
    """Another entry of acct_2 with this id, these sides, and this hold and reversed entry."""
    return (
        "INSERT INTO entries (account_id, entry_id, kind, debit_account, credit_account, amount_micros, hold_id,"
        " reverses, actor) OVERRIDING SYSTEM VALUE VALUES"
        f" ('acct_2', {entry_id}, '{kind}', {sides}, {amount_micros}, {more}, 'test'); "
    )


def _hold(hold_id: str, state: str, amount_micros: int, ended_at: str = "now()") -> str:
    return (
        "INSERT INTO holds (account_id, hold_id, state, amount_micros, purpose, ended_at)"
        f" VALUES ('acct_2', '{hold_id}', '{state}', {amount_micros}, 'other', {ended_at}); "
    )


def _balance(change_micros: int) -> str:
    return f"UPDATE accounts SET balance_micros = balance_micros + {change_micros} WHERE account_id = 'acct_2'; "


def _voice(name: str, changes: str) -> str:
    return f"UPDATE voices SET {changes} WHERE voice_id = 'kyma_2_{name}'; "


def _mint(name: str, changes: str) -> str:
    return f"UPDATE mints SET {changes} WHERE voice_id = 'kyma_2_{name}'; "


def _claim(name: str, changes: str) -> str:
    return f"UPDATE idempotency_keys SET {changes} WHERE account_id = 'acct_2' AND key = '{name}'; "


def _unclaim(name: str) -> str:
    return f"DELETE FROM idempotency_keys WHERE account_id = 'acct_2' AND key = '{name}'; "


def _cleanup(voice_id: str) -> str:
    return f"INSERT INTO provider_cleanups (voice_id, due_at, until) VALUES ('{voice_id}', now(), now()); "


_HELD_WHERE = "WHERE account_id = 'acct_2' AND hold_id ="
_DEBIT = "'acct_2', 'house:funding'"
_CHARGE = "'acct_2', 'house:revenue'"
_REFUND = "'house:revenue', 'acct_2'"
_REPLIED = "reply_status = 200, reply_headers = '{}', reply_body = ''"
_SILENT = "reply_status = NULL, reply_headers = NULL, reply_body = NULL"
_UNLIKE_205 = "entry 206 of acct_2: reverses 205, 500000 micros from acct_2 to house:revenue,"
_HOLD_CHECKS = "ALTER TABLE holds DROP CONSTRAINT ended_when_not_held, DROP CONSTRAINT holds_amount_micros_check; "
_ENTRY_CHECKS = (
    "ALTER TABLE entries DROP CONSTRAINT one_side_is_the_account, DROP CONSTRAINT charges_name_their_hold,"
    " DROP CONSTRAINT reversals_name_their_entry, DROP CONSTRAINT one_reversal_an_entry,"
    " DROP CONSTRAINT entries_amount_micros_check; DROP INDEX one_charge_a_hold; "
)
_MINT_CHECKS = (
    "ALTER TABLE mints DROP CONSTRAINT replied_when_completed, DROP CONSTRAINT completed_without_lease,"
    " DROP CONSTRAINT reply_whole_or_absent; "
)

_MONEY = (
    Damage(
        "balance",
        _balance(1),
        ("account acct_2: balance is 14800001 micros, its entries make 14800000",),
    ),
    Damage(
        "held",
        "UPDATE accounts SET held_micros = held_micros + 1 WHERE account_id = 'acct_2'",
        ("account acct_2: held is 2100001 micros, its open holds make 2100000",),
    ),
    Damage(
        "available below zero",
        "ALTER TABLE accounts DROP CONSTRAINT available_not_negative; "
        + _entry(290, "debit", _DEBIT, 13_000_000)
        + _balance(-13_000_000),
        ("account acct_2: 2100000 micros are held of a balance of 1800000",),
    ),
    Damage(
        "posted without entry",
        _hold("extra", "posted", 5),
        ("hold extra of acct_2: posted, with 0 entries of 0 micros for 5 held",),
    ),
    Damage(
        "posted at another amount",
        f"UPDATE holds SET amount_micros = 500001 {_HELD_WHERE} 'other'",
        ("hold other of acct_2: posted, with 1 entries of 500000 micros for 500001 held",),
    ),
    Damage(
        "voided and charged",
        f"UPDATE holds SET state = 'voided' {_HELD_WHERE} 'other'",
        ("hold other of acct_2: voided, with 1 entries of 500000 micros for 500000 held",),
    ),
    Damage(
        "charged while held",
        "UPDATE accounts SET held_micros = held_micros + 500000 WHERE account_id = 'acct_2';"
        f" UPDATE holds SET state = 'held', ended_at = NULL {_HELD_WHERE} 'other'",
        ("hold other of acct_2: held, with 1 entries of 500000 micros for 500000 held",),
    ),
    Damage(
        "charged twice",
        _ENTRY_CHECKS + _entry(290, "charge", _CHARGE, 500_000, "'other', NULL") + _balance(-500_000),
        ("hold other of acct_2: posted, with 2 entries of 1000000 micros for 500000 held",),
    ),
    Damage(
        "charge of no hold on file",
        _entry(290, "charge", _CHARGE, 5, "'gone', NULL") + _balance(-5),
        ("hold gone of acct_2: not on file, with 1 entries",),
    ),
    Damage(
        "ended without a time",
        _HOLD_CHECKS + f"UPDATE holds SET ended_at = NULL {_HELD_WHERE} 'failed'",
        ("hold failed of acct_2: voided, without a time of its end",),
    ),
    Damage(
        "held with a time of its end",
        _HOLD_CHECKS + f"UPDATE holds SET ended_at = now() {_HELD_WHERE} 'pending'",
        ("hold pending of acct_2: held, with a time of its end",),
    ),
    Damage(
        "hold of nothing",
        _HOLD_CHECKS + _hold("extra", "voided", 0),
        ("hold extra of acct_2: of 0 micros",),
    ),
    Damage(
        "charge to the wrong house",
        "UPDATE entries SET credit_account = 'house:funding' WHERE entry_id = 203",
        ("entry 203 of acct_2: a charge from acct_2 to house:funding",),
    ),
    Damage(
        "debit that gives",
        "UPDATE entries SET debit_account = 'house:funding', credit_account = 'acct_2' WHERE entry_id = 202; "
        + _balance(2_000_000),
        ("entry 202 of acct_2: a debit from house:funding to acct_2",),
    ),
    Damage(
        "credit from an unknown house",
        "UPDATE entries SET debit_account = 'house:other' WHERE entry_id = 201",
        (
            "entry 201 of acct_2: a credit from house:other to acct_2",
            "ledger: the entries give customers 44400000 micros and the house -24400000, which do not cancel out",
        ),
    ),
    Damage(
        "debit of somebody else",
        _ENTRY_CHECKS + "UPDATE entries SET debit_account = 'acct_1' WHERE entry_id = 202",
        (
            "entry 202 of acct_2: a debit from acct_1 to house:funding",
            "ledger: the entries give customers 45400000 micros and the house -44400000, which do not cancel out",
        ),
    ),
    Damage(
        "charge without a hold",
        _ENTRY_CHECKS + _entry(290, "charge", _CHARGE, 5) + _balance(-5),
        ("entry 290 of acct_2: a charge without a hold",),
    ),
    Damage(
        "reversal of nothing",
        _ENTRY_CHECKS + "UPDATE entries SET reverses = NULL WHERE entry_id = 206",
        ("entry 206 of acct_2: a reversal without an entry it reverses",),
    ),
    Damage(
        "debit that reverses",
        _ENTRY_CHECKS
        + _entry(290, "debit", _DEBIT, 20_000_000, "NULL, 201")
        # The money is given again, so that only the kind is wrong.
        + _entry(291, "credit", "'house:funding', 'acct_2'", 20_000_000),
        ("entry 290 of acct_2: a debit with an entry it reverses",),
    ),
    Damage(
        "entry of nothing",
        _ENTRY_CHECKS + _entry(290, "debit", _DEBIT, 0),
        ("entry 290 of acct_2: of 0 micros",),
    ),
    Damage(
        "reversal of another amount",
        "UPDATE entries SET amount_micros = 1 WHERE entry_id = 206; " + _balance(-499_999),
        (_UNLIKE_205 + " by 1 from house:revenue to acct_2",),
    ),
    Damage(
        "reversal in the same direction",
        "UPDATE entries SET debit_account = 'acct_2', credit_account = 'house:revenue' WHERE entry_id = 206; "
        + _balance(-1_000_000),
        (_UNLIKE_205 + " by 500000 from acct_2 to house:revenue",),
    ),
    Damage(
        "reversal from another house",
        "UPDATE entries SET debit_account = 'house:funding' WHERE entry_id = 206",
        (_UNLIKE_205 + " by 500000 from house:funding to acct_2",),
    ),
    Damage(
        "reversal of no entry on file",
        "UPDATE entries SET reverses = 999 WHERE entry_id = 206",
        ("entry 206 of acct_2: reverses 999, which is not on file",),
    ),
    Damage(
        "reversal of a reversal",
        _entry(290, "reversal", _CHARGE, 500_000, "NULL, 206") + _balance(-500_000),
        ("entry 290 of acct_2: reverses 206, which is a reversal itself",),
    ),
    Damage(
        "two reversals",
        _ENTRY_CHECKS + _entry(290, "reversal", _REFUND, 500_000, "NULL, 205") + _balance(500_000),
        ("entry 205 of acct_2: reversed 2 times",),
    ),
)

_VOICES = (
    Damage(
        "active and not charged",
        _voice("pending", "status = 'active'")
        + _mint("pending", f"lease_until = NULL, completed_at = now(), {_REPLIED}"),
        ("voice kyma_2_pending of acct_2: active, while hold pending is held",),
    ),
    Damage(
        "revoked and given back",
        _voice("expired", "status = 'revoked'") + _mint("expired", f"completed_at = now(), {_REPLIED}"),
        ("voice kyma_2_expired of acct_2: revoked, while hold expired is expired",),
    ),
    Damage(
        "failed and charged",
        _voice("active", "status = 'failed'") + _mint("active", f"completed_at = NULL, {_SILENT}") + _unclaim("active"),
        ("voice kyma_2_active of acct_2: failed, while hold active is posted",),
    ),
    Damage(
        "failed and still held",
        _voice("pending", "status = 'failed'") + _mint("pending", "lease_until = NULL") + _unclaim("pending"),
        ("voice kyma_2_pending of acct_2: failed, while hold pending is held",),
    ),
    Damage(
        "pending and given back",
        _voice("expired", "status = 'pending'") + _mint("expired", "lease_until = now() + interval '30 s'"),
        ("voice kyma_2_expired of acct_2: pending, while hold expired is expired",),
    ),
    Damage(
        "pending without a lease",
        _mint("pending", "lease_until = NULL"),
        ("voice kyma_2_pending of acct_2: pending, without a lease",),
    ),
    Damage(
        "active with a lease",
        _MINT_CHECKS + _mint("active", "lease_until = now() + interval '30 s'"),
        ("voice kyma_2_active of acct_2: active, with a lease",),
    ),
    Damage(
        "failed with a lease",
        _mint("failed", "lease_until = now() + interval '30 s'"),
        ("voice kyma_2_failed of acct_2: failed, with a lease",),
    ),
    Damage(
        "active and not completed",
        _MINT_CHECKS + _mint("active", "completed_at = NULL"),
        ("voice kyma_2_active of acct_2: active, but its mint is not completed",),
    ),
    Damage(
        "failed and completed",
        _mint("failed", "completed_at = now()"),
        ("voice kyma_2_failed of acct_2: failed, but its mint is completed",),
    ),
    Damage(
        "active without a reply",
        _mint("active", _SILENT),
        ("voice kyma_2_active of acct_2: active, without a reply",),
    ),
    Damage(
        "failed with a reply",
        _MINT_CHECKS + _mint("failed", _REPLIED),
        ("voice kyma_2_failed of acct_2: failed, with a reply",),
    ),
    Damage(
        "voice of another account",
        _voice("active", "account_id = 'acct_1'") + _unclaim("active"),
        ("voice kyma_2_active of acct_2: belongs to acct_1, its mint does not",),
    ),
    Damage(
        "mint without a voice",
        "DELETE FROM voices WHERE voice_id = 'kyma_2_active'; " + _unclaim("active"),
        ("voice kyma_2_active of acct_2: not on file, but minted",),
    ),
    Damage(
        "mint without a hold",
        _mint("active", "hold_id = 'gone'"),
        ("voice kyma_2_active of acct_2: hold gone is not on file",),
    ),
    Damage(
        "two voices for one hold",
        _mint("revoked", "hold_id = 'active'"),
        ("hold active of acct_2: pays for 2 voices",),
    ),
    Damage(
        "voice without a mint",
        "DELETE FROM mints WHERE voice_id = 'kyma_2_revoked'; " + _unclaim("revoked"),
        ("voice kyma_2_revoked of acct_2: revoked without a mint",),
    ),
    Damage(
        "key for a voice of another account",
        _claim("active", "voice_id = 'kyma_1_active'"),
        ("idempotency key of acct_2 for voice kyma_1_active: the voice belongs to acct_1",),
    ),
    Damage(
        "key for no voice on file",
        _claim("active", "voice_id = 'gone'"),
        ("idempotency key of acct_2 for voice gone: the voice is not on file",),
    ),
    Damage(
        "key for a failed voice",
        _claim("active", "voice_id = 'kyma_2_failed', fingerprint = sha256('failed')"),
        ("idempotency key of acct_2 for voice kyma_2_failed: the voice is failed",),
    ),
    Damage(
        "key for other content",
        _claim("active", "fingerprint = sha256('other')"),
        ("idempotency key of acct_2 for voice kyma_2_active: its fingerprint is not that of the mint",),
    ),
    Damage(
        "key for a voice that was not minted",
        _claim("active", "voice_id = 'kyma_2_adopted'"),
        ("idempotency key of acct_2 for voice kyma_2_adopted: its fingerprint is not that of the mint",),
    ),
    Damage(
        "a paid voice to be deleted",
        _cleanup("kyma_2_active"),
        ("voice kyma_2_active of acct_2: active, but to be deleted at its provider",),
    ),
    Damage(
        "a voice in the making to be deleted",
        _cleanup("kyma_2_pending"),
        ("voice kyma_2_pending of acct_2: pending, but to be deleted at its provider",),
    ),
    Damage(
        "a voice not on file to be deleted",
        _cleanup("gone"),
        ("voice gone of nobody: not on file, but to be deleted at its provider",),
    ),
    Damage(
        "no account",
        "DELETE FROM accounts WHERE account_id = 'acct_2'",
        (
            "account acct_2: not on file, with 6 entries",
            "account acct_2: not on file, with 6 holds",
            "account acct_2: not on file, with 5 mints",
            "account acct_2: not on file, with 7 voices",
            "account acct_2: not on file, with 3 idempotency keys",
        ),
    ),
)

DAMAGES = (*_MONEY, *_VOICES)
