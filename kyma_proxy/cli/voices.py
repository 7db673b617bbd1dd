"""`kyma-proxy voices`: who owns which, and putting voices that exist already on file."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from prometheus_client import CollectorRegistry

from kyma_proxy.accounts.keys import UnknownAccountError
from kyma_proxy.cli.common import (
    Failure,
    config_option,
    database_of,
    emit,
    emit_list,
    json_option,
    runs_async,
    transact,
)
from kyma_proxy.database.pool import Connection
from kyma_proxy.loading import load_checked
from kyma_proxy.observe.upstreams import UpstreamMetrics
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.registry import build_upstream
from kyma_proxy.voices import registry
from kyma_proxy.voices.keepalive import KeepAlive, KeepAliveTerms, house_costs
from kyma_proxy.voices.ownership import UNLISTED_SECONDS
from kyma_proxy.voices.provider import MakesVoices
from kyma_proxy.voices.registry import VoiceHome, VoiceTakenError


@click.group()
def voices() -> None:
    """Voices on file."""


@voices.command("list")
@click.option("--account", "account_id", metavar="ID", help="Only this account's.")
@config_option
@json_option
@runs_async
async def list_(account_id: str | None, config_path: Path, as_json: bool) -> None:
    """Every voice on file with its owner and state."""
    listed = await transact(config_path, lambda connection: registry.list_voices(connection, account_id))
    rows = [
        {"voice_id": each.voice_id, "account_id": each.account_id, "name": each.name, "status": each.status}
        for each in listed
    ]
    emit_list("voices", rows, as_json=as_json)


@voices.command("adopt")
@click.argument("voice_id", required=False)
@click.option("--account", "account_id", metavar="ID", help="Who owns it.")
@click.option(
    "--csv", "csv_path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Adopt many: lines of voice_id,account_id,name. All or none.",
)  # fmt: skip
@click.option("--upstream", default="minimax", show_default=True, help="The upstream where the voices live.")
@click.option("--provider-account", default="default", show_default=True, help="The account at the provider.")
@config_option
@json_option
@runs_async
async def adopt(voice_id: str | None, account_id: str | None, csv_path: Path | None, **values: Any) -> None:
    """Put voices that exist already on file for an account; when this returns, nobody else can use them."""
    wanted = _wanted(voice_id, account_id, csv_path)
    home = VoiceHome(values["upstream"], values["provider_account"])

    async def write(connection: Connection) -> None:
        for each_voice, each_account, name in wanted:
            await _adopt_one(connection, each_voice, each_account, name, home)

    await transact(values["config_path"], write)
    # A gateway may have looked an id up just before and believe it not to be on file. It hears the news at once, but
    # one that is being cut off from the database may not: by now it has forgotten.
    await asyncio.sleep(UNLISTED_SECONDS)
    emit({"adopted": len(wanted)}, as_json=values["as_json"])


async def _adopt_one(connection: Connection, voice_id: str, account_id: str, name: str | None, home: VoiceHome) -> None:
    try:
        await registry.adopt(connection, voice_id, account_id, name, home)
    except VoiceTakenError as error:
        raise Failure(f"{voice_id} is on file for another account or no longer active; nothing was changed") from error
    except UnknownAccountError as error:
        raise Failure(f"no account has the id {account_id}; nothing was changed") from error
    except ValueError as error:
        raise Failure(f"{error}; nothing was changed") from error


def _wanted(
    voice_id: str | None, account_id: str | None, csv_path: Path | None
) -> Sequence[tuple[str, str, str | None]]:
    if csv_path is None:
        if voice_id is None or account_id is None:
            raise click.UsageError("name a voice and its owner: voices adopt VOICE_ID --account ID, or use --csv FILE")
        return [(voice_id, account_id, None)]
    if voice_id is not None or account_id is not None:
        raise click.UsageError("--csv FILE stands alone: its lines name the voices and their owners")
    wanted: list[tuple[str, str, str | None]] = []
    with csv_path.open(newline="", encoding="utf-8-sig") as lines:
        try:
            for number, row in enumerate(csv.reader(lines, strict=True), start=1):
                if not row or row[:2] == ["voice_id", "account_id"]:
                    continue
                if len(row) not in (2, 3) or not row[0] or not row[1]:
                    raise Failure(f"{csv_path}:{number}: a line is voice_id,account_id,name; nothing was changed")
                wanted.append((row[0], row[1], (row[2] if len(row) == 3 else "").strip() or None))
        except (csv.Error, UnicodeDecodeError) as error:
            raise Failure(f"{csv_path} is not a CSV file in UTF-8: {error}") from error
    return wanted


@voices.command("revoke")
@click.argument("voice_id")
@config_option
@json_option
@runs_async
async def revoke(voice_id: str, config_path: Path, as_json: bool) -> None:
    """Revoke a voice for everyone, its owner included."""
    status = await transact(config_path, lambda connection: registry.revoke(connection, voice_id))
    if status is None:
        raise Failure(f"no voice on file has the id {voice_id}")
    if status != "revoked":
        raise Failure(f"{voice_id} is {status}: only an active voice can be revoked")
    emit({"voice_id": voice_id, "status": status}, as_json=as_json)


@voices.command("keep-alive")
@click.option(
    "--within-hours", type=click.FloatRange(min=0), default=24.0, show_default=True,
    help="Voices that would end within so many hours.",
)  # fmt: skip
@click.option(
    "--at-most", type=click.IntRange(min=1), default=100, show_default=True, help="In any hour, all together."
)
@config_option
@json_option
@runs_async
async def keep_alive(within_hours: float, at_most: int, config_path: Path, as_json: bool) -> None:
    """Have voices that have never spoken speak a line now, before their provider deletes them; the house pays."""
    settings = load_checked(config_path, InstalledPlugins())
    tasks, done = Tasks(), dict.fromkeys(("kept", "lost", "failed"), 0)
    terms = KeepAliveTerms(within_hours * 3600, at_most)
    async with database_of(config_path) as database:
        for name, upstream_settings in settings.upstreams.items():
            upstream = build_upstream(name, upstream_settings, tasks, numbers=UpstreamMetrics(CollectorRegistry()))
            if not isinstance(upstream, MakesVoices):
                continue
            await upstream.start()
            try:
                ended = await KeepAlive(database, {name: upstream.voice_accounts}).run(name, terms)
                for outcome, count in ended.items():
                    done[outcome] += count
            finally:
                await upstream.stop()
    emit(done, as_json=as_json)


@voices.command("costs")
@config_option
@json_option
@runs_async
async def costs(config_path: Path, as_json: bool) -> None:
    """What the house paid for voices: calls, characters and first uses by day (UTC)."""
    async with database_of(config_path) as database:
        listed = await database.borrow(house_costs)
    rows = [
        {"day": row["day"].isoformat(), **{name: row[name] for name in ("kind", "calls", "characters", "voices")}}
        for row in listed
    ]
    emit_list("costs", rows, as_json=as_json)
