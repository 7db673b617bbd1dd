"""The command as a script uses it: JSON shapes and exit codes, against an embedded database of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from e2e_kit.processes import COMMAND, run, running
from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget


@pytest.fixture
def environ(tmp_path: Path, database_target: DatabaseTarget) -> dict[str, str]:
    path = tmp_path / "gateway.yaml"
    path.write_text('version: 1\ndatabase: {url: "${TEST_DATABASE_URL}"}\n')
    return {"KYMA_CONFIG": str(path), "TEST_DATABASE_URL": database_url(database_target)}


async def test_accounts_from_opening_to_the_audit(environ: dict[str, str]) -> None:
    created = await run("accounts", "create", "Ada", "--credit", "25.00", "--json", environ=environ)
    account = created.fields
    assert set(account) == {"account_id", "name", "api_key", "balance_usd"}
    assert (account["name"], account["balance_usd"]) == ("Ada", 25.0)
    ident = account["account_id"]
    for _ in range(2):
        credited = await run("accounts", "credit", ident, "5", "--ref", "r1", "--note", "x", "--json", environ=environ)
        assert credited.fields == {"account_id": ident, "name": "Ada", "balance_usd": 30.0, "held_usd": 0.0}
    debited = await run("accounts", "debit", ident, "0.000001", "--json", environ=environ)
    assert debited.fields["balance_usd"] == 29.999999
    listed = await run("accounts", "list", "--json", environ=environ)
    assert listed.fields == {"accounts": [debited.fields]}
    shown = await run("accounts", "show", ident, "--json", environ=environ)
    assert shown.fields == debited.fields
    audit = await run("ledger", "audit", "--json", environ=environ)
    assert audit.fields == {
        "accounts": 1,
        "entries": 3,
        "open_holds": 0,
        "oldest_open_hold_seconds": None,
        "problems": [],
    }


@pytest.mark.parametrize("amount", ["-1", "nan", "inf", "0.0000001", "1e3", "0", "x"])
async def test_amounts_that_are_none_are_bad_usage(environ: dict[str, str], amount: str) -> None:
    assert (await run("accounts", "credit", "acct_x", "--", amount, environ=environ)).code == 2


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


async def test_keys_are_made_listed_imported_and_revoked(environ: dict[str, str]) -> None:
    account = (await run("accounts", "create", "Ada", "--json", environ=environ)).fields["account_id"]
    made = (await run("keys", "create", account, "--json", environ=environ)).fields
    assert set(made) == {"key_id", "api_key"}
    assert made["api_key"].startswith("ky-")
    imported = await run("keys", "create", account, "--from-stdin", "--json", environ=environ, stdin="kyma-old\n")
    assert imported.fields["api_key"] == "kyma-old"
    assert (await run("keys", "create", account, "--from-stdin", environ=environ, stdin="kyma-old\n")).code == 1
    assert (await run("keys", "create", account, "--from-stdin", environ=environ, stdin="\n")).code == 2
    assert (await run("keys", "revoke", made["key_id"], environ=environ)).code == 0
    keys = (await run("keys", "list", account, "--json", environ=environ)).fields["keys"]
    assert len(keys) == 3
    assert [key["key_id"] for key in keys if key["revoked_at"]] == [made["key_id"]]
    assert all(set(key) == {"key_id", "created_at", "revoked_at"} for key in keys)


async def test_voices_are_adopted_listed_and_revoked(environ: dict[str, str], tmp_path: Path) -> None:
    first, second = [
        (await run("accounts", "create", name, "--json", environ=environ)).fields["account_id"] for name in "ab"
    ]
    assert (await run("voices", "adopt", "kyma_1", "--account", first, environ=environ)).code == 0
    assert (await run("voices", "adopt", "kyma_1", "--account", second, environ=environ)).code == 1
    lines = tmp_path / "voices.csv"
    lines.write_text(f"voice_id,account_id,name\nkyma_2,{second},Bob\nkyma_1,{second},stolen\n")
    assert (await run("voices", "adopt", "--csv", str(lines), environ=environ)).code == 1
    lines.write_text(f"voice_id,account_id,name\nkyma_2,{second},Bob\nkyma_3,{second}\n")
    assert (await run("voices", "adopt", "--csv", str(lines), environ=environ)).code == 0
    assert (await run("voices", "revoke", "kyma_3", environ=environ)).code == 0
    listed = (await run("voices", "list", "--json", environ=environ)).fields["voices"]
    assert [(each["voice_id"], each["account_id"], each["name"], each["status"]) for each in listed] == [
        ("kyma_1", first, None, "active"),
        ("kyma_2", second, "Bob", "active"),
        ("kyma_3", second, None, "revoked"),
    ]
    only = (await run("voices", "list", "--account", first, "--json", environ=environ)).fields["voices"]
    assert len(only) == 1


async def test_a_bad_config_is_exit_2_with_positions(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nservr: {}\nserver: {drain_secondss: 3}\nplugins: [{use: voice_cloen}]\n")
    checked = await run("check", "--config", str(path))
    assert checked.code == 2
    lines = checked.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:2:1", f"{path}:3:10", f"{path}:4:17"]
    assert "did you mean" in checked.out
    served = await run("serve", "--config", str(path))
    assert (served.code, served.err.splitlines()) == (2, lines)


async def test_the_shipped_config_is_right_once_its_variables_are_set() -> None:
    path = str(Path(__file__).parent.parent.parent / "config" / "gateway.yaml")
    unset = await run("check", "--config", path, environ={"MINIMAX_API_KEY": None})
    assert unset.code == 2
    assert "MINIMAX_API_KEY" in unset.out
    assert (await run("check", "--config", path, environ={"MINIMAX_API_KEY": "sk-x"})).code == 0
    explained = await run(
        *("explain", "POST", "/v1/audio/voice-clone", "--config", path, "--json"), environ={"MINIMAX_API_KEY": "sk-x"}
    )
    assert explained.fields["plugins"] == ["api_key_auth", "voice_clone"]
    assert explained.fields["voice_clone: price"] == "$2.10 a voice"
    routed = await run("routes", "--config", path, "--json", environ={"MINIMAX_API_KEY": "sk-x"})
    assert [row["upstream"] for row in routed.fields["routes"]] == [None, "minimax", "origin"]


async def test_data_commands_do_not_need_the_providers_key() -> None:
    path = str(Path(__file__).parent.parent.parent / "config" / "gateway.yaml")
    environ = {"KYMA_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    ran = await run("accounts", "list", "--config", path, environ=environ)
    assert ran.code == 1, "away, but the config was understood"


async def test_an_old_schema_is_refused_with_the_command_to_run(
    tmp_path: Path, postgres: object, environ: dict[str, str]
) -> None:
    target: DatabaseTarget = await postgres.create_database("template1")  # type: ignore[attr-defined]
    empty = {**environ, "TEST_DATABASE_URL": database_url(target)}
    refused = await run("accounts", "list", environ=empty)
    assert refused.code == 1
    assert "kyma-proxy migrate" in refused.err
    assert (await run("serve", environ=empty)).code == 1
    assert (await run("migrate", environ=empty)).code == 0
    assert (await run("accounts", "list", environ=empty)).code == 0
    await postgres.drop_database(target)  # type: ignore[attr-defined]


async def test_serve_migrates_an_external_database_when_told_to(postgres: object, environ: dict[str, str]) -> None:
    target: DatabaseTarget = await postgres.create_database("template1")  # type: ignore[attr-defined]
    text = Path(environ["KYMA_CONFIG"]).read_text()
    Path(environ["KYMA_CONFIG"]).write_text(text + 'server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0"}\n')
    async with running("serve", "--migrate", environ={**environ, "TEST_DATABASE_URL": database_url(target)}) as gateway:
        await gateway.event("serving")
        assert await gateway.end(signal.SIGTERM) == 0
    await postgres.drop_database(target)  # type: ignore[attr-defined]


@pytest.mark.parametrize("which", ["minimax", "origin"])
async def test_the_simulators_run_alone(which: str) -> None:
    async with running("simulate", which, "--port", "0") as simulator:
        assert "http://127.0.0.1:" in await simulator.wait_for("simulated")
        assert await simulator.end(signal.SIGINT) == 0


async def test_unknown_commands_and_options_are_bad_usage() -> None:
    assert COMMAND[-1] == "kyma_proxy"
    for arguments in (("no-such-command",), ("accounts", "list", "--no-such-option"), ("accounts", "create")):
        assert (await run(*arguments)).code == 2
