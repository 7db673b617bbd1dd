"""`kyma-proxy ledger`: are the books right?"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

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
from kyma_proxy.ledger.audit import AuditFigures, stream_audit
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
    """Recompute every balance from the entries and hold the books against each other; exit 1 if any problem.

    It may run beside a live gateway. Problems are printed as they are found; a terminal shows how far it is.
    """
    with _Progress() as progress:
        printer: _JsonPrinter | _TextPrinter = _JsonPrinter(progress) if as_json else _TextPrinter(progress)
        async with database_of(config_path) as database:
            figures = await database.borrow(
                lambda connection: stream_audit(connection, printer.print_problem, progress.move)
            )
    printer.print_figures(figures)
    if figures.problems:
        raise SystemExit(1)


class _Progress:
    """How many accounts are done, on standard error if that is a terminal."""

    def __init__(self) -> None:
        hidden = not sys.stderr.isatty()
        self._bar = click.progressbar(length=1, label="accounts", show_pos=True, file=sys.stderr, hidden=hidden)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar.entered:
            self._bar.__exit__(*error)

    def move(self, done: int, total: int) -> None:
        """So many accounts are done of so many; the first move draws the bar."""
        self._bar.length = total
        if not self._bar.entered:
            self._bar.__enter__()
        self._bar.update(done - self._bar.pos)

    def make_room(self) -> None:
        """Clear the line for other text; the next move draws the bar again."""
        if not self._bar.hidden:
            click.echo("\r\x1b[K", nl=False, err=True)


class _TextPrinter:
    """The report for people: problems on standard error, figures on standard output."""

    def __init__(self, progress: _Progress) -> None:
        self._progress = progress

    def print_problem(self, problem: str) -> None:
        """Print a problem at once."""
        self._progress.make_room()
        _write("  " + "".join(each if each.isprintable() else "?" for each in problem) + "\n", err=True)

    def print_figures(self, figures: AuditFigures) -> None:
        """Print what was counted."""
        data = asdict(figures)
        problems = data.pop("problems")
        emit(data, as_json=False)
        click.echo({0: "no problems", 1: "1 problem"}.get(problems, f"{problems} problems"))


class _JsonPrinter:
    """The report as one JSON object, written piece by piece: there may be more problems than memory."""

    def __init__(self, progress: _Progress) -> None:
        self._progress = progress
        self._printed = 0

    def print_problem(self, problem: str) -> None:
        """Print a problem at once, on a line of its own."""
        self._progress.make_room()
        before = ",\n" if self._printed else '{"problems": [\n'
        _write(before + json.dumps(problem))
        self._printed += 1

    def print_figures(self, figures: AuditFigures) -> None:
        """Print what was counted and close the object."""
        data = asdict(figures)
        del data["problems"]
        before = "\n" if self._printed else '{"problems": ['
        _write(f"{before}], {json.dumps(data)[1:]}\n")


def _write(text: str, *, err: bool = False) -> None:
    try:
        click.echo(text, nl=False, err=err)
    except OSError as error:
        # What is left in the buffer would fail once more at exit, with an exit code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())
        # Passed through as it is, it would be taken for a fault of the database.
        raise Failure(f"the report cannot be written: {error}") from error


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
