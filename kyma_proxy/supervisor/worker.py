"""`python -m kyma_proxy.supervisor.worker`: one of several processes behind a port, led by the supervisor.

It serves until SIGTERM, or until the supervisor has ended, and then drains: nobody would lead it any more.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from functools import partial
from typing import Any

import click
import structlog

from kyma_proxy.app import Application, Shared
from kyma_proxy.cli.common import run_command
from kyma_proxy.loading import load_checked
from kyma_proxy.loops import settle_garbage_collector
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.reloading import Reloads
from kyma_proxy.settings import load_server_settings
from kyma_proxy.supervisor.channel import Channel
from kyma_proxy.supervisor.leasing import Leasing
from kyma_proxy.supervisor.order import Order

_log = structlog.get_logger("kyma_proxy.supervisor")


async def serve(order: Order) -> None:
    """Serve as ordered until told to stop, then drain."""
    configure_logging()
    plugins = InstalledPlugins()
    settings = load_checked(order.accepted, plugins, named=order.named)
    load = partial(load_checked, order.candidate, plugins, named=order.named)
    sockets = tuple(socket.socket(fileno=number) for number in order.listening)
    leasing = Leasing()
    application = Application(settings, plugins, migrate=order.migrate, load=load, shared=Shared(sockets, leasing))
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # The supervisor leads reloads; a hang-up of the whole group must not end its workers.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    channel = await Channel.open(socket.socket(fileno=order.channel), answers_of(application), application.tasks)
    leasing.opened(channel, application.tasks)
    await application.start()
    settle_garbage_collector()
    try:
        await channel.ask("serving", seconds=10)
        application.tasks.spawn(_stop_with(channel, stopped), name="follow the supervisor")
        await stopped.wait()
    finally:
        await application.stop()
        channel.close()


async def _stop_with(channel: Channel, stopped: asyncio.Event) -> None:
    await channel.closed.wait()
    if not stopped.is_set():
        _log.error("supervisor_gone", advice="this worker drains")
        stopped.set()


def answers_of(application: Application) -> dict[str, Any]:
    """What the supervisor may ask a worker."""

    def reloads() -> Reloads:
        if application.reloads is None:
            raise RuntimeError("the worker is starting or draining")
        return application.reloads

    async def readiness(_about: Any) -> list[Any]:
        return list(await application.readiness())

    async def prepare(_about: Any) -> dict[str, Any]:
        return (await reloads().prepare()).as_json()

    async def commit(_about: Any) -> None:
        reloads().commit()

    async def abandon(_about: Any) -> None:
        await reloads().abandon()

    async def recall(request_id: Any) -> Any:
        return await application.recall(request_id)

    async def take_back(key: Any) -> int:
        return application.take_back(key)

    return {
        "readiness": readiness,
        "recall": recall,
        "take_back": take_back,
        "prepare": prepare,
        "commit": commit,
        "abandon": abandon,
    }


def main() -> None:
    """Serve; failures are told as every command tells them."""
    order = Order.parse()
    try:
        run_command(serve(order), load_server_settings(order.accepted).event_loop)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
