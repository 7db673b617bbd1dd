"""API keys: random, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from kyma_proxy.database.pool import Connection

_KEY_MAX_CHARS = 512


class KeyTakenError(Exception):
    """The key is on file already, for this account or another."""


class UnknownAccountError(Exception):
    """No account has this id."""


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """What is on file of a key; the key itself is not."""

    key_id: str
    created_at: datetime
    revoked_at: datetime | None


def new_api_key() -> str:
    """A fresh key: `ky-` and 256 random bits."""
    return f"ky-{secrets.token_urlsafe(32)}"


def hash_api_key(api_key: str) -> bytes:
    """SHA-256 of a key: enough for random keys, which cannot be guessed from it, and quick enough for every request."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogateescape")).digest()


def is_plausible(api_key: str) -> bool:
    """Whether a text can be a key at all: visible ASCII, at most 512 characters. Prefixes are not looked at."""
    return 0 < len(api_key) <= _KEY_MAX_CHARS and api_key.isascii() and api_key.isprintable() and " " not in api_key


async def add_key(connection: Connection, account_id: str, api_key: str) -> str:
    """Put a key on file and return its id. Raises KeyTakenError, UnknownAccountError."""
    key_id = f"key_{secrets.token_hex(8)}"
    try:
        await connection.execute(
            "INSERT INTO api_keys (key_id, account_id, key_hash) VALUES ($1, $2, $3)",
            key_id,
            account_id,
            hash_api_key(api_key),
        )
    except asyncpg.UniqueViolationError as error:
        raise KeyTakenError from error
    except asyncpg.ForeignKeyViolationError as error:
        raise UnknownAccountError(account_id) from error
    return key_id


async def list_keys(connection: Connection, account_id: str) -> Sequence[ApiKeyRecord]:
    """The account's keys, oldest first. Raises UnknownAccountError."""
    rows = await connection.fetch(
        "SELECT key_id, created_at, revoked_at FROM api_keys WHERE account_id = $1 ORDER BY created_at, key_id",
        account_id,
    )
    if not rows and not await connection.fetchval("SELECT true FROM accounts WHERE account_id = $1", account_id):
        raise UnknownAccountError(account_id)
    return [ApiKeyRecord(**row) for row in rows]


async def revoke_key(connection: Connection, key_id: str) -> bool:
    """Revoke a key in every process; revoking it again changes nothing. False if there is no such key."""
    known = await connection.fetchval("SELECT true FROM api_keys WHERE key_id = $1", key_id)
    await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL", key_id)
    return known is not None
