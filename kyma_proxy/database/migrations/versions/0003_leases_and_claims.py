"""Exactly once: leases of running mints, claims of idempotency keys, and what is still to be deleted at providers.

A mint is running while it has a lease. Whoever ends it takes the lease away, in the transaction that activates or
fails its voice; a lease that ran out belongs to the reconciler, and the schema refuses to complete such a mint.
"""

from alembic import op

from kyma_proxy.database.migrate import run_script

revision = "0003"
down_revision = "0002"

LEASES = """
ALTER TABLE mints
    ADD COLUMN fingerprint   bytea CHECK (octet_length(fingerprint) = 32),
    ADD COLUMN lease_until   timestamptz,
    ADD COLUMN awaited       boolean NOT NULL DEFAULT false,
    ADD COLUMN completed_at  timestamptz,
    ADD CONSTRAINT replied_when_completed CHECK (reply_status IS NULL OR completed_at IS NOT NULL) NOT VALID,
    ADD CONSTRAINT completed_without_lease CHECK (lease_until IS NULL OR completed_at IS NULL);
UPDATE mints SET completed_at = voices.status_since
    FROM voices WHERE voices.voice_id = mints.voice_id AND voices.status IN ('active', 'revoked');
-- What an earlier version left running may still be run by it: it is given the longest time that a mint takes there.
UPDATE mints SET lease_until = now() + interval '5 minutes'
    FROM voices WHERE voices.voice_id = mints.voice_id AND voices.status = 'pending';
-- A mint that an earlier version begins from now on: it cannot complete it any more, and somebody must end it.
ALTER TABLE mints ALTER COLUMN lease_until SET DEFAULT now() + interval '5 minutes';
ALTER TABLE mints VALIDATE CONSTRAINT replied_when_completed;
CREATE INDEX mints_leased ON mints (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX mints_by_content ON mints (account_id, fingerprint, created_at) WHERE fingerprint IS NOT NULL;
-- The hold is written last, because its account's row is what concurrent requests queue on.
ALTER TABLE mints ALTER CONSTRAINT mints_account_id_hold_id_fkey DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION guard_mint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.lease_until IS NULL AND NEW.lease_until IS NOT NULL THEN
        RAISE EXCEPTION 'the mint of % has ended and is not leased again', OLD.voice_id USING ERRCODE = 'KY005';
    END IF;
    IF NEW.completed_at IS NOT NULL AND OLD.completed_at IS NULL
            AND (OLD.lease_until IS NULL OR OLD.lease_until <= clock_timestamp()) THEN
        RAISE EXCEPTION 'the mint of % has no lease left to complete in', OLD.voice_id USING ERRCODE = 'KY006';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_mint BEFORE UPDATE OF lease_until, completed_at ON mints
    FOR EACH ROW EXECUTE FUNCTION guard_mint();

-- Only where somebody waits: in PostgreSQL, NOTIFY serialises commits.
CREATE FUNCTION announce_mint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kyma_mints', NEW.voice_id);
    RETURN NULL;
END $$;
CREATE TRIGGER announce_awaited_mint AFTER UPDATE OF lease_until ON mints
    FOR EACH ROW WHEN (NEW.awaited AND NEW.lease_until IS NULL AND OLD.lease_until IS NOT NULL)
    EXECUTE FUNCTION announce_mint();
"""

# `voice_id` is checked at COMMIT: the claim is the first row that a request writes.
CLAIMS = """
CREATE TABLE idempotency_keys (
    account_id   text NOT NULL REFERENCES accounts,
    endpoint     text NOT NULL,
    key          text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    fingerprint  bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    voice_id     text NOT NULL REFERENCES voices DEFERRABLE INITIALLY DEFERRED,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, endpoint, key)
);
CREATE INDEX idempotency_keys_by_voice ON idempotency_keys (voice_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
"""

CLEANUPS = """
CREATE TABLE provider_cleanups (
    voice_id     text PRIMARY KEY REFERENCES voices,
    due_at       timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX provider_cleanups_due ON provider_cleanups (due_at);
"""


def upgrade() -> None:
    """Add leases, claims and clean-ups; what an earlier version left running becomes the reconciler's."""
    for part in (LEASES, CLAIMS, CLEANUPS):
        run_script(op.get_bind(), part)


def downgrade() -> None:
    """Refused: an earlier version would run mints without leases beside a reconciler that ends those."""
    raise RuntimeError("leases are not given up again: restore a backup instead")
