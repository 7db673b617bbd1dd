"""`kyma-proxy voices`."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg

from e2e_kit.processes import run
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.voices.ownership import UNLISTED_SECONDS


async def test_voices_are_adopted_listed_and_revoked(environ: dict[str, str], tmp_path: Path) -> None:
    first, second = [
        (await run("accounts", "create", name, "--json", environ=environ)).fields["account_id"] for name in "ab"
    ]
    began = monotonic_seconds()
    assert (await run("voices", "adopt", "kyma_1", "--account", first, environ=environ)).code == 0
    # Nobody can believe any more that it is not on file.
    assert monotonic_seconds() - began > UNLISTED_SECONDS
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


async def test_voices_that_would_expire_speak_once_and_the_house_pays(environ: dict[str, str], tmp_path: Path) -> None:
    async with MiniMaxSimulator() as minimax:
        with Path(environ["KYMA_CONFIG"]).open("a") as config:
            fields = f"adapter: minimax, base_url: {json.dumps(minimax.base_url)}, api_key: {minimax.api_key}"
            config.write(f"upstreams:\n  minimax: {{{fields}}}\n")
        account = (await run("accounts", "create", "a", "--json", environ=environ)).fields["account_id"]
        assert (await run("voices", "adopt", "kyma_1", "--account", account, environ=environ)).code == 0
        await _would_expire_soon(environ)
        kept = await run("voices", "keep-alive", "--within-hours", "2", "--json", environ=environ)
        assert kept.fields == {"kept": 0, "lost": 1, "failed": 0}, "the provider has no such voice"
        assert (await run("voices", "costs", "--json", environ=environ)).fields == {"costs": []}


async def _would_expire_soon(environ: dict[str, str]) -> None:
    connection = await asyncpg.connect(environ["TEST_DATABASE_URL"])
    try:
        await connection.execute("UPDATE voices SET expires_at = now() + interval '1 hour'")
    finally:
        await connection.close()
