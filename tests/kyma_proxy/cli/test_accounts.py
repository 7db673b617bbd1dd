"""`kyma-proxy accounts`: JSON shapes and exit codes."""

from __future__ import annotations

import pytest

from e2e_kit.processes import run


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
