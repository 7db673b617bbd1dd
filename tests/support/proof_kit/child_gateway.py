"""A gateway in a process of its own that kills or freezes itself at a failpoint. Arguments: config, failpoint, harm."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kyma_proxy.app import Application, run_until
from kyma_proxy.cli.serve import stop_on_signals
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.pipeline.loader import InstalledPlugins
from proof_kit.faults import Faulty, Harm, freeze, kill
from proof_kit.world import load, rehearsal


async def main(config: str, point: str, harm: str) -> None:
    """Serve until a signal, or until the failpoint."""
    configure_logging()
    failpoints = Faulty({Failpoint(point): kill if Harm(harm) is Harm.KILLED else freeze})
    application = Application(load(Path(config)), InstalledPlugins(), rehearsal=rehearsal(failpoints))
    await run_until(application, stop_on_signals())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
