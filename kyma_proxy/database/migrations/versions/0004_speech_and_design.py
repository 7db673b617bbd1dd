"""Paid speech and designed voices: holds that belong to a process, and voices that the provider names itself.

A hold for speech has nothing but its process to end it. The process has one lease for all of them, so that a stream
costs no write while it runs; the holds of a process whose lease ran out are expired by any other.
"""

from alembic import op

from kyma_proxy.database.migrate import run_script

revision = "0004"
down_revision = "0003"

HOLDERS = """
CREATE TABLE holders (
    holder_id    text PRIMARY KEY,
    lease_until  timestamptz NOT NULL
);
ALTER TABLE holds ADD COLUMN holder_id text;
"""

# What the provider calls the voice, where that is not the id it has here. Both are on file for the owner.
PROVIDER_IDS = """
ALTER TABLE voices ADD COLUMN provider_voice_id text CHECK (char_length(provider_voice_id) BETWEEN 1 AND 256);
CREATE UNIQUE INDEX voices_by_provider_id ON voices (provider_voice_id) WHERE provider_voice_id IS NOT NULL;

CREATE OR REPLACE FUNCTION announce_voice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kyma_voices', CASE TG_OP WHEN 'DELETE' THEN OLD.voice_id ELSE NEW.voice_id END);
    IF TG_OP <> 'INSERT' AND OLD.provider_voice_id IS NOT NULL THEN
        PERFORM pg_notify('kyma_voices', OLD.provider_voice_id);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guard_voice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.voice_id, OLD.account_id) IS DISTINCT FROM (NEW.voice_id, NEW.account_id)
            OR NEW.provider_voice_id IS DISTINCT FROM coalesce(OLD.provider_voice_id, NEW.provider_voice_id) THEN
        RAISE EXCEPTION 'voice % keeps its ids and its owner', OLD.voice_id USING ERRCODE = 'KY003';
    END IF;
    IF OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN
            (('pending', 'active'), ('pending', 'failed'), ('active', 'revoked')) THEN
        RAISE EXCEPTION 'voice % cannot go from % to %', OLD.voice_id, OLD.status, NEW.status USING ERRCODE = 'KY004';
    END IF;
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    """Add holders, and the provider's own ids."""
    for part in (HOLDERS, PROVIDER_IDS):
        run_script(op.get_bind(), part)


def downgrade() -> None:
    """Refused: an earlier version would neither expire the holds of speech nor know the provider's ids."""
    raise RuntimeError("holders and provider ids are not given up again: restore a backup instead")
