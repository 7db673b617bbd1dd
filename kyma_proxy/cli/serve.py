"""`kyma-proxy serve` and `migrate`."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
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
from kyma_proxy.settings import Settings, load_database_settings, load_settings

_log = structlog.get_logger("kyma_proxy.cli")


def stop_on_signals(*more: signal.Signals) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and the signals given set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def load_checked(config_path: Path, plugins: InstalledPlugins) -> Settings:
    """The configuration, with everything checked that can be without starting it; warnings go to the log.

    Raises ConfigError.
    """
    settings = load_settings(config_path, plugins=plugins)
    check_certificate(settings)
    for warning in warnings_of(settings, plugins, check_plan(settings, plugins)):
        _log.warning("config_warning", position=f"{warning.file}:{warning.line}", message=warning.message)
    return settings


@click.command()
@click.option("--migrate", "migrate_first", is_flag=True, help="Bring an external database's schema up to date first.")
@config_option
@runs_async
async def serve(migrate_first: bool, config_path: Path) -> None:
    """Run the gateway until SIGTERM or SIGINT, then drain. SIGHUP reloads the configuration."""
    plugins = InstalledPlugins()
    load = partial(load_checked, config_path, plugins)
    configure_logging()
    application = Application(load(), plugins, migrate=migrate_first, load=load)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, application.begin_reload)
    await run_until(application, stop_on_signals())


@click.command()
@config_option
@json_option
@runs_async
async def migrate(config_path: Path, as_json: bool) -> None:
    """Bring the database's schema up to date."""
    async with open_database(load_database_settings(config_path), migrate=True):
        emit({"schema": HEAD}, as_json=as_json)
