"""`kyma-proxy ledger`: the audit for people, for scripts and for terminals; entries and their corrections."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from books_kit import damage, write_accounts
from e2e_kit.processes import COMMAND, run
from kyma_proxy.database.pool import Database

FIGURES = {"accounts", "entries", "open_holds", "oldest_open_hold_seconds", "problems"}
_WRONG = "UPDATE accounts SET balance_micros = balance_micros + 1"


async def run_on_terminal(*arguments: str, environ: dict[str, str], stdout: int | None = None) -> tuple[int, str, str]:
    """Run the command with standard error on a terminal, and standard output too unless it is given.

    Exit code, what was piped, what the terminal got.
    """
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=stdout or theirs, stderr=theirs, env={**os.environ, **environ}
    )
    os.close(theirs)
    shown = asyncio.get_running_loop().run_in_executor(None, read_to_end, ours)
    async with asyncio.timeout(60):
        piped, _ = await process.communicate()
        text = await shown
    assert process.returncode is not None
    return process.returncode, (piped or b"").decode(), text


def read_to_end(terminal: int) -> str:
    """All that a terminal shows until nobody writes to it any more."""
    with open(terminal, "rb", buffering=0) as stream:
        data = b""
        while True:
            try:
                piece = stream.read(4096)
            except OSError:
                # How Linux tells that the other side is closed.
                piece = b""
            if not piece:
                return data.decode()
            data += piece


async def test_books_in_order_are_exit_0_and_damage_is_exit_1(environ: dict[str, str], database: Database) -> None:
    account = (await run("accounts", "create", "Ada", "--credit", "1", "--json", environ=environ)).fields
    in_order = await run("ledger", "audit", environ=environ)
    assert in_order.code == 0
    assert "no problems" in in_order.out
    await database.execute(_WRONG)
    damaged = await run("ledger", "audit", "--json", environ=environ)
    assert damaged.code == 1
    (problem,) = damaged.fields["problems"]
    assert account["account_id"] in problem
    said = await run("ledger", "audit", environ=environ)
    assert (said.code, account["account_id"] in said.err) == (1, True)
    assert "1 problem\n" in said.out


async def test_a_pipe_gets_the_report_and_no_progress(environ: dict[str, str], database: Database) -> None:
    await write_accounts(database)
    as_text = await run("ledger", "audit", environ=environ)
    assert (as_text.code, as_text.err) == (0, "")
    assert re.fullmatch(
        r"accounts +3\nentries +18\nopen_holds +3\noldest_open_hold_seconds +[0-9.]+\nno problems\n", as_text.out
    )
    as_json = await run("ledger", "audit", "--json", environ=environ)
    assert (as_json.code, as_json.err) == (0, "")
    assert as_json.fields.keys() == FIGURES
    assert as_json.out.count("\n") == 1


async def test_a_terminal_shows_progress_beside_the_json(environ: dict[str, str], database: Database) -> None:
    await write_accounts(database)
    await damage(database, f"{_WRONG} WHERE account_id = 'acct_2'")
    arguments = ("ledger", "audit", "--json")
    code, piped, shown = await run_on_terminal(*arguments, environ=environ, stdout=asyncio.subprocess.PIPE)
    assert code == 1
    assert len(json.loads(piped)["problems"]) == 1
    assert "0/3" in shown
    assert "3/3" in shown
    # The cursor, hidden for the bar, is back.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


async def test_on_a_terminal_problems_stand_on_lines_of_their_own(environ: dict[str, str], database: Database) -> None:
    await write_accounts(database)
    await damage(database, _WRONG)
    code, _, shown = await run_on_terminal("ledger", "audit", environ=environ)
    assert code == 1
    for number in (1, 2, 3):
        assert f"\r\x1b[K  account acct_{number}: balance is" in shown
    assert shown.endswith("3 problems\r\n")


async def test_ever_so_many_problems_are_one_json_object(environ: dict[str, str], database: Database) -> None:
    await database.execute(
        "INSERT INTO accounts (account_id, name, balance_micros)"
        " SELECT format('acct_%s_\"é\\', n), 'Ada', 1 FROM generate_series(1, 6000) AS n"
    )
    ran = await run("ledger", "audit", "--json", environ=environ)
    assert ran.code == 1
    assert ran.fields.keys() == FIGURES
    assert set(ran.fields["problems"]) == {
        f'account acct_{n}_"é\\: balance is 1 micros, its entries make 0' for n in range(1, 6001)
    }
    assert (ran.fields["accounts"], ran.fields["entries"]) == (6000, 0)


async def test_what_cannot_be_printed_is_not_sent_to_a_terminal(environ: dict[str, str], database: Database) -> None:
    await database.execute("INSERT INTO accounts (account_id, name, balance_micros) VALUES (E'a\\x1b[2J', 'Ada', 1)")
    ran = await run("ledger", "audit", environ=environ)
    assert "  account a?[2J: balance is 1 micros, its entries make 0\n" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that takes nothing")
async def test_a_report_that_cannot_be_written_is_said_and_exit_1(environ: dict[str, str], database: Database) -> None:
    await write_accounts(database)
    await damage(database, _WRONG)
    with Path("/dev/full").open("wb") as full:
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "ledger", "audit", "--json"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environ},
        )
        async with asyncio.timeout(60):
            _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().startswith("Error: the report cannot be written: ")
    assert b"database" not in said


async def test_a_mistake_is_corrected_by_a_reversal(environ: dict[str, str]) -> None:
    account = (await run("accounts", "create", "Ada", "--credit", "5", "--json", environ=environ)).fields["account_id"]
    await run("accounts", "debit", account, "2", environ=environ)
    listed = (await run("ledger", "entries", account, "--json", environ=environ)).fields["entries"]
    assert [(each["kind"], each["amount_usd"]) for each in listed] == [("credit", 5.0), ("debit", -2.0)]
    for _ in range(2):
        debit = str(listed[1]["entry_id"])
        assert (await run("ledger", "reverse", account, debit, "--note", "typo", environ=environ)).code == 0
    assert (await run("accounts", "show", account, "--json", environ=environ)).fields["balance_usd"] == 5.0
    assert (await run("ledger", "reverse", account, "999999", environ=environ)).code == 1
    assert (await run("ledger", "audit", environ=environ)).code == 0
