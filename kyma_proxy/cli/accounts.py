"""`kyma-proxy accounts`: open them, look at them, move money by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from kyma_proxy.accounts.accounts import Account, adjust_account, get_account, list_accounts, open_account
from kyma_proxy.accounts.keys import UnknownAccountError
from kyma_proxy.cli.common import (
    Failure,
    Usd,
    actor,
    config_option,
    emit,
    emit_list,
    json_option,
    note_option,
    runs_async,
    transact,
)
from kyma_proxy.ledger.entries import Adjustment, RefReusedError
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.money import usd_number


@click.group()
def accounts() -> None:
    """Accounts and their prepaid balances."""


def _record(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "name": account.name,
        "balance_usd": usd_number(account.balance_micros),
        "held_usd": usd_number(account.held_micros),
    }


@accounts.command("create")
@click.argument("name")
@click.option("--credit", type=Usd(zero_allowed=True), default="0", show_default=True, help="Opening credit.")
@config_option
@json_option
@runs_async
async def create(name: str, credit: int, config_path: Path, as_json: bool) -> None:
    """Open an account. Its API key is shown once and stored only as a hash."""
    try:
        opened = await transact(config_path, lambda connection: open_account(connection, name, credit, actor()))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    data = {"account_id": opened.account_id, "name": name, "api_key": opened.api_key, "balance_usd": usd_number(credit)}
    emit(data, as_json=as_json)


@accounts.command("list")
@config_option
@json_option
@runs_async
async def list_(config_path: Path, as_json: bool) -> None:
    """Every account with its posted balance and what open holds set aside of it."""
    emit_list("accounts", [_record(each) for each in await transact(config_path, list_accounts)], as_json=as_json)


@accounts.command("show")
@click.argument("account_id", metavar="ID")
@config_option
@json_option
@runs_async
async def show(account_id: str, config_path: Path, as_json: bool) -> None:
    """One account."""
    try:
        account = await transact(config_path, lambda connection: get_account(connection, account_id))
    except UnknownAccountError as error:
        raise Failure(f"no account has the id {account_id}") from error
    emit(_record(account), as_json=as_json)


async def _adjust(kind: Literal["credit", "debit"], account_id: str, values: dict[str, Any]) -> None:
    adjustment = Adjustment(kind, values["amount"], actor(), note=values["note"], ref=values["ref"])
    try:
        account = await transact(
            values["config_path"], lambda connection: adjust_account(connection, account_id, adjustment)
        )
    except UnknownAccountError as error:
        raise Failure(f"no account has the id {account_id}") from error
    except RefReusedError as error:
        raise Failure(f"the ref {values['ref']!r} names another entry of this account; nothing was changed") from error
    except InsufficientFundsError as error:
        raise Failure("the available balance is less than this; nothing was changed") from error
    emit(_record(account), as_json=values["as_json"])


def _ref(_context: click.Context, _parameter: click.Parameter, ref: str | None) -> str | None:
    if ref is not None and not (1 <= len(ref) <= 255 and ref.isprintable()):
        raise click.BadParameter("a ref is 1 to 255 printable characters")
    return ref


ref_option = click.option("--ref", callback=_ref, help="Makes it happen once: the same ref again changes nothing.")


@accounts.command("credit")
@click.argument("account_id", metavar="ID")
@click.argument("amount", metavar="USD", type=Usd(zero_allowed=False))
@note_option
@ref_option
@config_option
@json_option
@runs_async
async def credit(account_id: str, **values: Any) -> None:
    """Add to an account's balance."""
    await _adjust("credit", account_id, values)


@accounts.command("debit")
@click.argument("account_id", metavar="ID")
@click.argument("amount", metavar="USD", type=Usd(zero_allowed=False))
@note_option
@ref_option
@config_option
@json_option
@runs_async
async def debit(account_id: str, **values: Any) -> None:
    """Take from an account's available balance."""
    await _adjust("debit", account_id, values)
