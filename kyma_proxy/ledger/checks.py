"""The rules of the books as statements: each finds the rows of some accounts that break a rule, one line of text each.

`{accounts}` stands for a condition on `account_id`. It stands at every table, so that each is read through its index
on that column, and however many accounts there are, a statement costs what its own ones have. What belongs together
but lies with different accounts is looked up only where it is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LEFT_OVER_SECONDS: Final = 60
"""A lease that ran out this long ago should have been noticed by some process."""

TOTALS: Final = """
SELECT count(*) AS entries,
       coalesce(sum(CASE WHEN credit_account = account_id THEN amount_micros ELSE 0 END
                    - CASE WHEN debit_account = account_id THEN amount_micros ELSE 0 END), 0) AS customers_micros,
       coalesce(sum(CASE WHEN credit_account IN ('house:funding', 'house:revenue') THEN amount_micros ELSE 0 END
                    - CASE WHEN debit_account IN ('house:funding', 'house:revenue') THEN amount_micros ELSE 0 END), 0)
           AS house_micros
FROM entries WHERE {accounts}
"""

_BALANCES = """
SELECT format('account %s: balance is %s micros, its entries make %s', account_id, balance_micros, entered)
FROM (SELECT a.account_id, a.balance_micros, coalesce(e.entered, 0) AS entered
      FROM (SELECT * FROM accounts WHERE {accounts}) AS a
      LEFT JOIN (SELECT account_id, sum(CASE WHEN credit_account = account_id THEN amount_micros
                                             ELSE -amount_micros END) AS entered
                 FROM entries WHERE {accounts} GROUP BY account_id) AS e USING (account_id)) AS sums
WHERE balance_micros <> entered
"""

HELD: Final = """
SELECT format('account %s: %s', account_id, faults)
FROM (SELECT a.account_id, concat_ws('; ',
          CASE WHEN a.held_micros <> coalesce(h.open, 0)
              THEN format('held is %s micros, its open holds make %s', a.held_micros, coalesce(h.open, 0)) END,
          CASE WHEN a.held_micros < 0 OR a.balance_micros < a.held_micros
              THEN format('%s micros are held of a balance of %s', a.held_micros, a.balance_micros) END) AS faults
      FROM (SELECT * FROM accounts WHERE {accounts}) AS a
      LEFT JOIN (SELECT account_id, sum(amount_micros) AS open
                 FROM holds WHERE state = 'held' AND {accounts} GROUP BY account_id) AS h USING (account_id)) AS sums
WHERE faults <> ''
"""

_HOLDS = """
SELECT format('hold %s of %s: %s', hold_id, account_id, faults)
FROM (SELECT account_id, hold_id, concat_ws('; ',
          CASE WHEN h.state IS NULL THEN format('not on file, with %s entries', e.entries)
               WHEN coalesce(e.entries, 0) <> (h.state = 'posted')::int OR e.entered <> h.amount_micros
                   THEN format('%s, with %s entries of %s micros for %s held',
                               h.state, coalesce(e.entries, 0), coalesce(e.entered, 0), h.amount_micros) END,
          CASE WHEN (h.state = 'held') <> (h.ended_at IS NULL)
              THEN format('%s, %s a time of its end', h.state,
                          CASE WHEN h.ended_at IS NULL THEN 'without' ELSE 'with' END) END,
          CASE WHEN h.amount_micros <= 0 THEN format('of %s micros', h.amount_micros) END) AS faults
      FROM (SELECT * FROM holds WHERE {accounts}) AS h
      FULL JOIN (SELECT account_id, hold_id, count(*) AS entries, sum(amount_micros) AS entered
                 FROM entries WHERE hold_id IS NOT NULL AND {accounts} GROUP BY account_id, hold_id) AS e
          USING (account_id, hold_id)) AS joined
WHERE faults <> ''
"""

HOLDS_LEFT_OVER: Final = f"""
SELECT format('hold %s of %s: left over, the lease of its process ran out and nobody expires it', hold_id, account_id)
FROM holds AS h
WHERE state = 'held' AND holder_id IS NOT NULL AND created_at < now() - interval '{LEFT_OVER_SECONDS} seconds'
  AND NOT EXISTS (SELECT FROM holders AS o WHERE o.holder_id = h.holder_id
                  AND o.lease_until > now() - interval '{LEFT_OVER_SECONDS} seconds')
  AND {{accounts}}
"""  # noqa: S608

_ENTRIES = """
SELECT format('entry %s of %s: %s', entry_id, account_id, faults)
FROM (SELECT account_id, entry_id, concat_ws('; ',
          CASE WHEN (CASE kind
                  WHEN 'charge' THEN (debit_account, credit_account) = (account_id, 'house:revenue')
                  WHEN 'credit' THEN (debit_account, credit_account) = ('house:funding', account_id)
                  WHEN 'debit' THEN (debit_account, credit_account) = (account_id, 'house:funding')
                  WHEN 'reversal' THEN
                      (debit_account = account_id AND credit_account IN ('house:funding', 'house:revenue'))
                      OR (credit_account = account_id AND debit_account IN ('house:funding', 'house:revenue')) END)
                  IS NOT TRUE
              THEN format('a %s from %s to %s', kind, debit_account, credit_account) END,
          CASE WHEN (kind = 'charge') <> (hold_id IS NOT NULL)
              THEN format('a %s %s a hold', kind, CASE WHEN hold_id IS NULL THEN 'without' ELSE 'with' END) END,
          CASE WHEN (kind = 'reversal') <> (reverses IS NOT NULL)
              THEN format('a %s %s an entry it reverses', kind,
                          CASE WHEN reverses IS NULL THEN 'without' ELSE 'with' END) END,
          CASE WHEN amount_micros <= 0 THEN format('of %s micros', amount_micros) END) AS faults
      FROM entries WHERE {accounts}) AS judged
WHERE faults <> ''
"""

_REVERSALS = """
SELECT format('entry %s of %s: reverses %s, %s', r.entry_id, r.account_id, r.reverses,
              CASE WHEN e.entry_id IS NULL THEN 'which is not on file'
                   WHEN e.kind = 'reversal' THEN 'which is a reversal itself'
                   ELSE format('%s micros from %s to %s, by %s from %s to %s',
                               e.amount_micros, e.debit_account, e.credit_account,
                               r.amount_micros, r.debit_account, r.credit_account) END)
FROM (SELECT * FROM entries WHERE reverses IS NOT NULL AND {accounts}) AS r
LEFT JOIN (SELECT * FROM entries WHERE {accounts}) AS e
    ON e.account_id = r.account_id AND e.entry_id = r.reverses
WHERE e.entry_id IS NULL OR e.kind = 'reversal'
   OR (e.amount_micros, e.debit_account, e.credit_account) <> (r.amount_micros, r.credit_account, r.debit_account)
"""

_REVERSED_AGAIN = """
SELECT format('entry %s of %s: reversed %s times', reverses, account_id, count(*))
FROM entries WHERE reverses IS NOT NULL AND {accounts}
GROUP BY account_id, reverses HAVING count(*) > 1
"""

# `now()` is when the snapshot was taken, or a moment before: leases may have been renewed since.
_MINTS_WHERE = f"""
SELECT format('voice %s of %s: %s', voice_id, account_id, faults)
FROM (SELECT m.account_id, m.voice_id, concat_ws('; ',
          CASE WHEN v.voice_id IS NULL THEN coalesce(
              (SELECT format('belongs to %s, its mint does not', min(other.account_id))
               FROM voices AS other WHERE other.voice_id = m.voice_id HAVING count(*) > 0),
              'not on file, but minted') END,
          CASE WHEN h.hold_id IS NULL THEN format('hold %s is not on file', m.hold_id)
               WHEN (CASE v.status WHEN 'pending' THEN h.state = 'held'
                                   WHEN 'failed' THEN h.state IN ('voided', 'expired')
                                   ELSE h.state = 'posted' END) IS FALSE
                   THEN format('%s, while hold %s is %s', v.status, h.hold_id, h.state) END,
          CASE WHEN (v.status = 'pending') <> (m.lease_until IS NOT NULL)
              THEN format('%s, %s a lease', v.status, CASE WHEN m.lease_until IS NULL THEN 'without' ELSE 'with' END)
              END,
          CASE WHEN m.lease_until < now() - interval '{LEFT_OVER_SECONDS} seconds'
              THEN format('left over, its lease ran out %s s ago and nobody reconciles',
                          extract(epoch FROM now() - m.lease_until)::bigint) END,
          CASE WHEN (v.status IN ('active', 'revoked')) <> (m.completed_at IS NOT NULL)
              THEN format('%s, but its mint is %s', v.status,
                          CASE WHEN m.completed_at IS NULL THEN 'not completed' ELSE 'completed' END) END,
          CASE WHEN (v.status IN ('active', 'revoked')) <> (m.reply_body IS NOT NULL)
              THEN format('%s, %s a reply', v.status, CASE WHEN m.reply_body IS NULL THEN 'without' ELSE 'with' END)
              END) AS faults
      FROM (SELECT * FROM mints WHERE {{rows}}) AS m
      LEFT JOIN (SELECT * FROM voices WHERE {{accounts}}) AS v
          ON v.account_id = m.account_id AND v.voice_id = m.voice_id
      LEFT JOIN (SELECT * FROM holds WHERE {{accounts}}) AS h
          ON h.account_id = m.account_id AND h.hold_id = m.hold_id) AS joined
WHERE faults <> ''
"""  # noqa: S608

_MINTS = _MINTS_WHERE.replace("{rows}", "{accounts}")
LEASED_MINTS: Final = _MINTS_WHERE.replace("{rows}", "lease_until IS NOT NULL AND {accounts}")

_PAID_ONCE = """
SELECT format('hold %s of %s: pays for %s voices', hold_id, account_id, count(*))
FROM mints WHERE {accounts} GROUP BY account_id, hold_id HAVING count(*) > 1
"""

_VOICES = """
SELECT format('voice %s of %s: %s without a mint', v.voice_id, v.account_id, v.status)
FROM (SELECT * FROM voices WHERE kind <> 'adopted' AND status <> 'failed' AND {accounts}) AS v
LEFT JOIN (SELECT account_id, voice_id, true AS minted FROM mints WHERE {accounts}) AS m
    ON m.account_id = v.account_id AND m.voice_id = v.voice_id
WHERE m.minted IS NULL
  AND (SELECT count(*) FROM mints AS other WHERE other.voice_id = v.voice_id) = 0
"""

_CLAIMS = """
SELECT format('idempotency key of %s for voice %s: %s', account_id, voice_id, faults)
FROM (SELECT k.account_id, k.voice_id, concat_ws('; ',
          CASE WHEN v.voice_id IS NULL THEN coalesce(
              (SELECT format('the voice belongs to %s', min(other.account_id))
               FROM voices AS other WHERE other.voice_id = k.voice_id HAVING count(*) > 0),
              'the voice is not on file') END,
          CASE WHEN v.status = 'failed' THEN 'the voice is failed' END,
          CASE WHEN v.voice_id IS NOT NULL AND m.fingerprint IS DISTINCT FROM k.fingerprint
              THEN 'its fingerprint is not that of the mint' END) AS faults
      FROM (SELECT * FROM idempotency_keys WHERE {accounts}) AS k
      LEFT JOIN (SELECT * FROM voices WHERE {accounts}) AS v
          ON v.account_id = k.account_id AND v.voice_id = k.voice_id
      LEFT JOIN (SELECT * FROM mints WHERE {accounts}) AS m
          ON m.account_id = k.account_id AND m.voice_id = k.voice_id) AS joined
WHERE faults <> ''
"""

_OWNERS = """
SELECT format('account %s: not on file, with %s %s', owned.account_id, owned.number, owned.things)
FROM (SELECT account_id, 'entries' AS things, count(*) AS number FROM entries WHERE {accounts} GROUP BY account_id
      UNION ALL SELECT account_id, 'holds', count(*) FROM holds WHERE {accounts} GROUP BY account_id
      UNION ALL SELECT account_id, 'mints', count(*) FROM mints WHERE {accounts} GROUP BY account_id
      UNION ALL SELECT account_id, 'voices', count(*) FROM voices WHERE {accounts} GROUP BY account_id
      UNION ALL SELECT account_id, 'idempotency keys', count(*) FROM idempotency_keys WHERE {accounts}
      GROUP BY account_id) AS owned
LEFT JOIN (SELECT account_id, true AS known FROM accounts WHERE {accounts}) AS a ON a.account_id = owned.account_id
WHERE a.known IS NULL
"""

# This table has no accounts. It is short: what is deleted at the provider leaves it.
CLEANUPS: Final = """
SELECT format('voice %s of %s: %s, but to be deleted at its provider', c.voice_id, coalesce(v.account_id, 'nobody'),
              coalesce(v.status, 'not on file'))
FROM {cleanups} AS c LEFT JOIN voices AS v ON v.voice_id = c.voice_id
WHERE v.status IS DISTINCT FROM 'failed'
"""

CHECKS: Final[Sequence[str]] = (
    _BALANCES,
    HELD,
    _HOLDS,
    HOLDS_LEFT_OVER,
    _ENTRIES,
    _REVERSALS,
    _REVERSED_AGAIN,
    _MINTS,
    _PAID_ONCE,
    _VOICES,
    _CLAIMS,
    _OWNERS,
)
"""Every rule that can be told account by account."""


def of_accounts(statement: str, condition: str) -> str:
    """A statement of this module for the accounts that meet a condition on `account_id`, in SQL of our own."""
    return statement.replace("{accounts}", f"({condition})")
