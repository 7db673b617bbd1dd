"""`kyma-proxy serve` and `migrate`."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import click

from kyma_proxy.app import Application, run_until
from kyma_proxy.cli.common import Failure, config_option, emit, exit_codes, json_option, run_command, runs_async
from kyma_proxy.database.access import open_database
from kyma_proxy.database.schema import HEAD
from kyma_proxy.loading import load_checked
from kyma_proxy.loops import raise_file_limit
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_database_settings
from kyma_proxy.supervisor.supervisor import Supervisor
from kyma_proxy.supervisor.team import WorkerNotStartedError


def stop_on_signals(*more: signal.Signals) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and the signals given set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, *more):
        loop.add_signal_handler(number, stopped.set)
    return stopped


@click.command()
@click.option("--migrate", "migrate_first", is_flag=True, help="Bring an external database's schema up to date first.")
@config_option
def serve(migrate_first: bool, config_path: Path) -> None:
    """Run the gateway until SIGTERM or SIGINT, then drain. SIGHUP reloads the configuration."""
    configure_logging()
    raise_file_limit()
    plugins = InstalledPlugins()
    with exit_codes():
        settings = load_checked(config_path, plugins)
    if settings.server.workers == 1:
        load = partial(load_checked, config_path, plugins)
        application = Application(settings, plugins, migrate=migrate_first, load=load)
        run_command(_serve_alone(application), settings.server.event_loop)
    else:
        run_command(_supervise(Supervisor(settings, config_path, migrate=migrate_first)))


async def _serve_alone(application: Application) -> None:
    configure_logging()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, application.begin_reload)
    await run_until(application, stop_on_signals())


async def _supervise(supervisor: Supervisor) -> None:
    configure_logging()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, supervisor.begin_reload)
    try:
        ended_well = await supervisor.run(stop_on_signals())
    except WorkerNotStartedError as error:
        raise SystemExit(error.code) from error
    if not ended_well:
        raise Failure("not every worker ended by itself")


@click.command()
@config_option
@json_option
@runs_async
async def migrate(config_path: Path, as_json: bool) -> None:
    """Bring the database's schema up to date."""
    async with open_database(load_database_settings(config_path), migrate=True):
        emit({"schema": HEAD}, as_json=as_json)
