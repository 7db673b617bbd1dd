"""`kyma-proxy ledger audit`."""

from e2e_kit.processes import run
from kyma_proxy.database.pool import Database


async def test_books_in_order_are_exit_0_and_damage_is_exit_1(environ: dict[str, str], database: Database) -> None:
    account = (await run("accounts", "create", "Ada", "--credit", "1", "--json", environ=environ)).fields
    in_order = await run("ledger", "audit", environ=environ)
    assert in_order.code == 0
    assert "no problems" in in_order.out
    await database.execute("UPDATE accounts SET balance_micros = balance_micros + 1")
    damaged = await run("ledger", "audit", "--json", environ=environ)
    assert damaged.code == 1
    (problem,) = damaged.fields["problems"]
    assert account["account_id"] in problem
    said = await run("ledger", "audit", environ=environ)
    assert (said.code, account["account_id"] in said.err) == (1, True)


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
