"""`kyma-proxy voices`."""

from __future__ import annotations

from pathlib import Path

from e2e_kit.processes import run
from kyma_proxy.clock import monotonic_seconds
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
