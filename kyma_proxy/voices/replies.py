"""Replies of completed mints, stored with them so that what the client was told is what the books say."""

from __future__ import annotations

from multidict import CIMultiDict

from kyma_proxy.database.pool import Connection
from kyma_proxy.flow import Reply


async def store(connection: Connection, account_id: str, voice_id: str, reply: Reply) -> None:
    """Store the reply of a mint in the transaction that completes it. The body must be bytes."""
    if not isinstance(reply.body, bytes):
        raise TypeError("only a whole reply can be stored")
    headers = [part for pair in reply.headers.items() for part in pair]
    await connection.execute(
        "UPDATE mints SET reply_status = $3, reply_headers = $4, reply_body = $5"
        " WHERE account_id = $1 AND voice_id = $2",
        *(account_id, voice_id, reply.status, headers, reply.body),
    )


async def load(connection: Connection, account_id: str, voice_id: str) -> Reply | None:
    """The stored reply of a completed mint; None if it was not completed."""
    row = await connection.fetchrow(
        "SELECT reply_status, reply_headers, reply_body FROM mints WHERE account_id = $1 AND voice_id = $2",
        *(account_id, voice_id),
    )
    if row is None or row["reply_status"] is None:
        return None
    parts = row["reply_headers"]
    return Reply(row["reply_status"], CIMultiDict(zip(parts[::2], parts[1::2], strict=True)), row["reply_body"])
