"""The lives of voices: when they were used, when the provider would delete them, what keeping them alive cost.

A provider deletes a voice that was not used for a while after it was made; once it has spoken it stays. So
`expires_at` stands until a voice was used or kept alive, and is nothing afterwards.
"""

from alembic import op

from kyma_proxy.database.migrate import run_script

revision = "0005"
down_revision = "0004"

LIVES = """
ALTER TABLE voices
    ADD COLUMN expires_at          timestamptz,
    ADD COLUMN first_used_at       timestamptz,
    ADD COLUMN last_used_at        timestamptz,
    ADD COLUMN kept_alive_at       timestamptz,
    ADD COLUMN keep_alive_tried_at timestamptz,
    ADD COLUMN lost_at             timestamptz;

-- Of older voices nobody knows whether they were used; the younger ones may still be saved.
UPDATE voices SET expires_at = created_at + interval '168 hours'
    WHERE kind <> 'adopted' AND status IN ('pending', 'active') AND created_at > now() - interval '168 hours';

CREATE INDEX voices_to_keep_alive ON voices (expires_at)
    WHERE status = 'active' AND expires_at IS NOT NULL AND lost_at IS NULL;
CREATE INDEX voices_tried_to_keep_alive ON voices (keep_alive_tried_at) WHERE keep_alive_tried_at IS NOT NULL;
"""

# Outside the ledger, which is about what customers have: this is what the operator paid for them.
HOUSE_COSTS = """
CREATE TABLE house_costs (
    cost_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('keep_alive')),
    voice_id    text NOT NULL REFERENCES voices,
    account_id  text NOT NULL REFERENCES accounts,
    characters  integer NOT NULL CHECK (characters >= 0),
    voices      integer NOT NULL CHECK (voices >= 0),
    booked_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX house_costs_by_time ON house_costs (booked_at);
"""


def upgrade() -> None:
    """Add what is known of a voice's life, and the costs of the house."""
    for part in (LIVES, HOUSE_COSTS):
        run_script(op.get_bind(), part)


def downgrade() -> None:
    """Refused: what was used, and what was spent, would be forgotten."""
    raise RuntimeError("uses and costs are not given up again: restore a backup instead")
