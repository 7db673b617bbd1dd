"""`kyma-proxy serve` and `migrate`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import structlog

from kyma_proxy.app import Application, run_until
from kyma_proxy.cli.common import config_option, emit, json_option, runs_async
from kyma_proxy.database.access import open_database
from kyma_proxy.database.schema import HEAD
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.pipeline.runner import check_plan
from kyma_proxy.pipeline.warnings import warnings_of
from kyma_proxy.server.tls import check_certificate
from kyma_proxy.settings import load_database_settings, load_settings

_log = structlog.get_logger("kyma_proxy.cli")


def stop_on_signals(*more: signal.Signals) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and the signals given set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def _outlive_hangup() -> None:
    """SIGHUP must not end a gateway: its default would drop requests when a terminal or a log rotation sends it."""

    def say() -> None:
        _log.warning("sighup_ignored", advice="this version reads its configuration at start: restart it instead")

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, say)


@click.command()
@click.option("--migrate", "migrate_first", is_flag=True, help="Bring an external database's schema up to date first.")
@config_option
@runs_async
async def serve(migrate_first: bool, config_path: Path) -> None:
    """Run the gateway until SIGTERM or SIGINT, then drain."""
    plugins = InstalledPlugins()
    settings = load_settings(config_path, plugins=plugins)
    check_certificate(settings)
    laid_out = check_plan(settings, plugins)
    configure_logging()
    for warning in warnings_of(settings, plugins, laid_out):
        _log.warning("config_warning", position=f"{warning.file}:{warning.line}", message=warning.message)
    _outlive_hangup()
    await run_until(Application(settings, plugins, migrate=migrate_first), stop_on_signals())


@click.command()
@config_option
@json_option
@runs_async
async def migrate(config_path: Path, as_json: bool) -> None:
    """Bring the database's schema up to date."""
    async with open_database(load_database_settings(config_path), migrate=True):
        emit({"schema": HEAD}, as_json=as_json)
