"""Replies of completed mints, stored with them so that what the client was told is what the books say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multidict import CIMultiDict

from kyma_proxy.database.pool import Connection
from kyma_proxy.flow import Reply
from kyma_proxy.voices.attempts import REPLAYED_HEADERS


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
    return None if row is None else from_row(row)


def from_row(row: Mapping[str, Any]) -> Reply | None:
    """The reply in a row of `mints`; None if the mint was not completed."""
    if row["reply_status"] is None:
        return None
    parts = row["reply_headers"]
    return Reply(row["reply_status"], CIMultiDict(zip(parts[::2], parts[1::2], strict=True)), row["reply_body"])


def as_replay(reply: Reply) -> Reply:
    """The reply as it is told again: byte for byte, with a header that says so."""
    return replace(reply, headers=CIMultiDict([*reply.headers.items(), *REPLAYED_HEADERS.items()]))
