"""News about voices for the processes that remember who owns them.

Only what is rare is announced: in PostgreSQL, NOTIFY serialises commits. A mint needs none, because that an id of ours
is not on file is never remembered, nor is a voice that is pending.
"""

from alembic import op

from kyma_proxy.database.migrate import run_script

revision = "0002"
down_revision = "0001"

VOICE_NEWS = """
CREATE FUNCTION announce_voice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('kyma_voices', CASE TG_OP WHEN 'DELETE' THEN OLD.voice_id ELSE NEW.voice_id END);
    RETURN NULL;
END $$;
CREATE TRIGGER announce_adopted AFTER INSERT ON voices
    FOR EACH ROW WHEN (NEW.status = 'active') EXECUTE FUNCTION announce_voice();
CREATE TRIGGER announce_revoked AFTER UPDATE OF status ON voices
    FOR EACH ROW WHEN (NEW.status = 'revoked' AND OLD.status <> 'revoked') EXECUTE FUNCTION announce_voice();
CREATE TRIGGER announce_deleted AFTER DELETE ON voices
    FOR EACH ROW EXECUTE FUNCTION announce_voice();
"""


def upgrade() -> None:
    """Announce adopted, revoked and deleted voices."""
    run_script(op.get_bind(), VOICE_NEWS)


def downgrade() -> None:
    """Stop announcing; nothing of the books is touched."""
    run_script(
        op.get_bind(),
        """
        DROP TRIGGER announce_adopted ON voices;
        DROP TRIGGER announce_revoked ON voices;
        DROP TRIGGER announce_deleted ON voices;
        DROP FUNCTION announce_voice();
        """,
    )
