"""`kyma-proxy keys`."""

from __future__ import annotations

from e2e_kit.processes import run


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
