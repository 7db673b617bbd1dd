"""`kyma-proxy keys`: make, list and revoke API keys."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kyma_proxy.accounts.keys import (
    KeyTakenError,
    UnknownAccountError,
    add_key,
    is_plausible,
    list_keys,
    new_api_key,
    revoke_key,
)
from kyma_proxy.cli.common import Failure, config_option, emit, emit_list, json_option, runs_async, transact


@click.group()
def keys() -> None:
    """API keys. An account may have many."""


@keys.command("create")
@click.argument("account_id")
@click.option("--from-stdin", is_flag=True, help="Import a key that exists already, of any prefix, read from stdin.")
@config_option
@json_option
@runs_async
async def create(account_id: str, from_stdin: bool, config_path: Path, as_json: bool) -> None:
    """Make a key. It is shown once and stored only as a hash."""
    api_key = sys.stdin.read().strip() if from_stdin else new_api_key()
    if not is_plausible(api_key):
        raise click.UsageError("the key on stdin must be one line of visible ASCII, at most 512 characters")
    try:
        key_id = await transact(config_path, lambda connection: add_key(connection, account_id, api_key))
    except UnknownAccountError as error:
        raise Failure(f"no account has the id {account_id}") from error
    except KeyTakenError as error:
        raise Failure("this key is on file already; nothing was changed") from error
    emit({"key_id": key_id, "api_key": api_key}, as_json=as_json)


@keys.command("list")
@click.argument("account_id")
@config_option
@json_option
@runs_async
async def list_(account_id: str, config_path: Path, as_json: bool) -> None:
    """An account's keys, revoked ones too; never the keys themselves."""
    try:
        records = await transact(config_path, lambda connection: list_keys(connection, account_id))
    except UnknownAccountError as error:
        raise Failure(f"no account has the id {account_id}") from error
    rows = [
        {
            "key_id": each.key_id,
            "created_at": each.created_at.isoformat(),
            "revoked_at": each.revoked_at.isoformat() if each.revoked_at else None,
        }
        for each in records
    ]
    emit_list("keys", rows, as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
@config_option
@json_option
@runs_async
async def revoke(key_id: str, config_path: Path, as_json: bool) -> None:
    """Revoke a key: within two seconds no process accepts it."""
    if not await transact(config_path, lambda connection: revoke_key(connection, key_id)):
        raise Failure(f"no key has the id {key_id}")
    emit({"key_id": key_id, "revoked": True}, as_json=as_json)
