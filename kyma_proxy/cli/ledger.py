"""`kyma-proxy ledger`: are the books right?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from kyma_proxy.cli.common import (
    Failure,
    actor,
    config_option,
    database_of,
    emit,
    emit_list,
    json_option,
    note_option,
    runs_async,
    transact,
)
from kyma_proxy.ledger.audit import AuditReport, audit
from kyma_proxy.ledger.entries import ReversalError, UnknownEntryError, list_entries, reverse
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.money import usd_number


@click.group()
def ledger() -> None:
    """The books."""


@ledger.command("audit")
@config_option
@json_option
@runs_async
async def audit_(config_path: Path, as_json: bool) -> None:
    """Recompute every balance from the entries and hold the books against each other; exit 1 if any problem."""
    async with database_of(config_path) as database:
        report = await database.borrow(audit)
    _print(report, as_json)
    if report.problems:
        raise SystemExit(1)


def _print(report: AuditReport, as_json: bool) -> None:
    data = asdict(report)
    if as_json:
        click.echo(json.dumps(data))
        return
    problems = data.pop("problems")
    emit(data, as_json=False)
    click.echo("no problems" if not problems else f"{len(problems)} problems:")
    for problem in problems:
        click.echo(f"  {problem}", err=True)


@ledger.command("entries")
@click.argument("account_id")
@config_option
@json_option
@runs_async
async def entries(account_id: str, config_path: Path, as_json: bool) -> None:
    """An account's entries, oldest first: what each added to the balance, or took."""
    listed = await transact(config_path, lambda connection: list_entries(connection, account_id))
    rows = [
        {
            "entry_id": each.entry_id,
            "created_at": each.created_at.isoformat(),
            "kind": each.kind,
            "amount_usd": usd_number(each.amount_micros),
            "actor": each.actor,
            "note": each.note,
        }
        for each in listed
    ]
    emit_list("entries", rows, as_json=as_json)


@ledger.command("reverse")
@click.argument("account_id")
@click.argument("entry_id", type=int)
@note_option
@config_option
@json_option
@runs_async
async def reverse_(account_id: str, entry_id: int, note: str | None, config_path: Path, as_json: bool) -> None:
    """Correct an entry by one the other way round; a charge reversed is a refund. Again, it changes nothing."""
    try:
        await transact(config_path, lambda connection: reverse(connection, account_id, entry_id, actor(), note))
    except UnknownEntryError as error:
        raise Failure(f"{account_id} has no entry {entry_id}; nothing was changed") from error
    except ReversalError as error:
        raise Failure(f"entry {entry_id} is a reversal; credit or debit the account instead") from error
    except InsufficientFundsError as error:
        raise Failure("the available balance is less than this; nothing was changed") from error
    emit({"reversed": entry_id}, as_json=as_json)
