"""`kyma-proxy ledger`: are the books right?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from kyma_proxy.cli.common import config_option, database_of, emit, json_option, runs_async
from kyma_proxy.ledger.audit import AuditReport, audit


@click.group()
def ledger() -> None:
    """The books."""


@ledger.command("audit")
@config_option
@json_option
@runs_async
async def audit_(config_path: Path, as_json: bool) -> None:
    """Recompute every balance from the entries and hold the books against each other; exit 1 if any problem."""
    async with database_of(config_path) as database:
        report = await database.borrow(audit)
    _print(report, as_json)
    if report.problems:
        raise SystemExit(1)


def _print(report: AuditReport, as_json: bool) -> None:
    data = asdict(report)
    if as_json:
        click.echo(json.dumps(data))
        return
    problems = data.pop("problems")
    emit(data, as_json=False)
    click.echo("no problems" if not problems else f"{len(problems)} problems:")
    for problem in problems:
        click.echo(f"  {problem}", err=True)
