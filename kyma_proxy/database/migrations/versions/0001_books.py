"""Accounts, keys, the ledger and the voices.

The rules about money and voices stand here as constraints and triggers, so that no code path, ours or an operator's
by hand, can break them: no negative available balance, no second post of a hold, entries that nobody changes,
states that only move forward.
"""

from alembic import op

from kyma_proxy.database.migrate import run_script

revision = "0001"
down_revision = None

ACCOUNTS = """
CREATE TABLE accounts (
    account_id      text PRIMARY KEY,
    name            text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    balance_micros  bigint NOT NULL DEFAULT 0,
    held_micros     bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT held_not_negative CHECK (held_micros >= 0),
    CONSTRAINT available_not_negative CHECK (balance_micros >= held_micros)
) WITH (fillfactor = 70);

CREATE TABLE api_keys (
    key_id      text PRIMARY KEY,
    account_id  text NOT NULL REFERENCES accounts,
    key_hash    bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
CREATE INDEX api_keys_by_account ON api_keys (account_id, created_at);

CREATE FUNCTION announce_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kyma_keys', OLD.key_id);
    RETURN NULL;
END $$;
CREATE TRIGGER announce_key AFTER UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION announce_key();
"""

# A row is one transfer between two accounts, so debits equal credits by construction. A customer's balance is what
# was credited less what was debited. `account_id` is the customer's side: its rows live together.
LEDGER = """
CREATE TABLE holds (
    account_id     text NOT NULL REFERENCES accounts,
    hold_id        text NOT NULL,
    amount_micros  bigint NOT NULL CHECK (amount_micros > 0),
    state          text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'posted', 'voided', 'expired')),
    purpose        text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    PRIMARY KEY (account_id, hold_id),
    CONSTRAINT ended_when_not_held CHECK ((state = 'held') = (ended_at IS NULL))
);
CREATE INDEX holds_open ON holds (created_at) WHERE state = 'held';

CREATE TABLE entries (
    account_id      text NOT NULL REFERENCES accounts,
    entry_id        bigint GENERATED ALWAYS AS IDENTITY,
    debit_account   text NOT NULL,
    credit_account  text NOT NULL,
    amount_micros   bigint NOT NULL CHECK (amount_micros > 0),
    kind            text NOT NULL CHECK (kind IN ('credit', 'debit', 'charge', 'reversal')),
    hold_id         text,
    reverses        bigint,
    ref             text CHECK (char_length(ref) BETWEEN 1 AND 255),
    note            text CHECK (char_length(note) <= 1000),
    actor           text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, entry_id),
    FOREIGN KEY (account_id, hold_id) REFERENCES holds,
    FOREIGN KEY (account_id, reverses) REFERENCES entries,
    CONSTRAINT one_side_is_the_account CHECK (
        (debit_account = account_id AND credit_account LIKE 'house:%')
        OR (credit_account = account_id AND debit_account LIKE 'house:%')),
    CONSTRAINT charges_name_their_hold CHECK ((kind = 'charge') = (hold_id IS NOT NULL)),
    CONSTRAINT reversals_name_their_entry CHECK ((kind = 'reversal') = (reverses IS NOT NULL)),
    CONSTRAINT one_reversal_an_entry UNIQUE (account_id, reverses),
    CONSTRAINT one_entry_a_ref UNIQUE (account_id, ref)
);
CREATE UNIQUE INDEX one_charge_a_hold ON entries (account_id, hold_id) WHERE hold_id IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are append-only: correct one with a reversing entry' USING ERRCODE = 'KY001';
END $$;
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE ON entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_never_truncated BEFORE TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION guard_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'held' OR (OLD.account_id, OLD.hold_id, OLD.amount_micros)
            IS DISTINCT FROM (NEW.account_id, NEW.hold_id, NEW.amount_micros) THEN
        RAISE EXCEPTION 'hold % is % and stays as it is', OLD.hold_id, OLD.state USING ERRCODE = 'KY002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_hold BEFORE UPDATE ON holds FOR EACH ROW EXECUTE FUNCTION guard_hold();
"""

VOICES = """
CREATE TABLE voices (
    voice_id          text PRIMARY KEY CHECK (char_length(voice_id) BETWEEN 1 AND 256),
    account_id        text NOT NULL REFERENCES accounts,
    name              text,
    status            text NOT NULL CHECK (status IN ('pending', 'active', 'failed', 'revoked')),
    kind              text NOT NULL CHECK (kind IN ('clone', 'design', 'adopted')),
    upstream          text NOT NULL,
    provider_account  text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    status_since      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX voices_by_account ON voices (account_id, created_at);

CREATE FUNCTION guard_voice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.voice_id, OLD.account_id) IS DISTINCT FROM (NEW.voice_id, NEW.account_id) THEN
        RAISE EXCEPTION 'voice % keeps its id and its owner', OLD.voice_id USING ERRCODE = 'KY003';
    END IF;
    IF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN
            (('pending', 'active'), ('pending', 'failed'), ('active', 'revoked')) THEN
        RAISE EXCEPTION 'voice % cannot go from % to %', OLD.voice_id, OLD.status, NEW.status USING ERRCODE = 'KY004';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_voice BEFORE UPDATE ON voices FOR EACH ROW EXECUTE FUNCTION guard_voice();

CREATE TABLE mints (
    account_id     text NOT NULL,
    voice_id       text NOT NULL UNIQUE REFERENCES voices,
    hold_id        text NOT NULL,
    reply_status   smallint,
    reply_headers  text[],
    reply_body     bytea,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, voice_id),
    FOREIGN KEY (account_id, hold_id) REFERENCES holds,
    CONSTRAINT reply_whole_or_absent CHECK (
        (reply_status IS NULL) = (reply_body IS NULL) AND (reply_status IS NULL) = (reply_headers IS NULL))
);
"""


def upgrade() -> None:
    """Create the books."""
    for part in (ACCOUNTS, LEDGER, VOICES):
        run_script(op.get_bind(), part)


def downgrade() -> None:
    """Refused: dropping the books would drop money and owners."""
    raise RuntimeError("the books are never dropped: restore a backup instead")
