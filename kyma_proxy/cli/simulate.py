"""`kyma-proxy simulate`: the simulators alone."""

from __future__ import annotations

from typing import Any

import click

from kyma_proxy.cli.common import runs_async
from kyma_proxy.cli.serve import stop_on_signals
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.server import SimulatorServer

port_option = click.option("--port", type=click.IntRange(0, 65535), required=True, help="0 picks a free one.")


unused_config_option = click.option(
    "--config",
    type=click.Path(),
    expose_value=False,
    help="Accepted as everywhere; no configuration is read.",
)


@click.group()
def simulate() -> None:
    """Stand-ins for what the gateway talks to, on loopback."""


@simulate.command("minimax")
@port_option
@unused_config_option
@runs_async
async def minimax(port: int) -> None:
    """The voice provider: uploads, clones, designs, deletes, speech; faults are switched over HTTP."""
    simulator = MiniMaxSimulator()
    await _run(simulator, port, f"simulated MiniMax; its API key is {simulator.api_key}")


@simulate.command("origin")
@port_option
@unused_config_option
@runs_async
async def origin(port: int) -> None:
    """The existing backend behind the gateway."""
    await _run(OriginSimulator(), port, "simulated origin")


async def _run(simulator: SimulatorServer[Any], port: int, what: str) -> None:
    stopped = stop_on_signals()
    await simulator.start(port=port)
    click.echo(f"{simulator.base_url}  {what}")
    try:
        await stopped.wait()
    finally:
        await simulator.stop()
