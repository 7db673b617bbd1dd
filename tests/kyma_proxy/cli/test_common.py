"""What the subcommands share: exit codes, and where their messages go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2e_kit.processes import run
from kyma_proxy.cli.common import actor, emit, emit_list


async def test_operations_that_cannot_be_done_say_so_on_stderr_and_exit_1(environ: dict[str, str]) -> None:
    account = (await run("accounts", "create", "Ada", "--json", environ=environ)).fields["account_id"]
    for arguments in (
        ("accounts", "show", "acct_no"),
        ("accounts", "credit", "acct_no", "1"),
        ("accounts", "debit", account, "1"),
        ("keys", "create", "acct_no"),
        ("keys", "list", "acct_no"),
        ("keys", "revoke", "key_no"),
        ("voices", "revoke", "kyma_no"),
        ("voices", "adopt", "kyma_no", "--account", "acct_no"),
    ):
        ran = await run(*arguments, environ=environ)
        assert (ran.code, ran.out) == (1, ""), arguments
        assert ran.err.startswith("Error: "), arguments


async def test_data_commands_do_not_need_the_providers_key() -> None:
    path = str(Path(__file__).parent.parent.parent.parent / "config" / "gateway.yaml")
    environ = {"KYMA_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    ran = await run("accounts", "list", "--config", path, environ=environ)
    assert ran.code == 1, "away, but the config was understood"


async def test_unknown_commands_and_options_are_bad_usage() -> None:
    for arguments in (("no-such-command",), ("accounts", "list", "--no-such-option"), ("accounts", "create")):
        assert (await run(*arguments)).code == 2


def test_who_is_at_the_command_line_is_known_to_the_books() -> None:
    assert re.fullmatch(r"cli:\S+", actor())


def test_a_record_is_lines_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": "Ada", "balance_usd": 2.1}, as_json=False)
    emit({"name": "Ada", "balance_usd": 2.1}, as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["name         Ada", "balance_usd  2.1"]
    assert json.loads(lines[2]) == {"name": "Ada", "balance_usd": 2.1}


def test_a_list_is_a_table_or_json_and_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"voice_id": "kyma_1", "name": "a\x1b[2Jb"}, {"voice_id": "kyma_22", "name": None}]
    emit_list("voices", rows, as_json=False)
    emit_list("voices", [], as_json=False)
    emit_list("voices", [], as_json=True)
    assert capsys.readouterr().out.splitlines() == [
        "voice_id  name",
        "kyma_1    a?[2Jb",
        "kyma_22   -",
        "no voices",
        '{"voices": []}',
    ]
