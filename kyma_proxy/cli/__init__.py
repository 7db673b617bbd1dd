"""`kyma-proxy`, the command: one file per group of subcommands."""

from __future__ import annotations

import click

from kyma_proxy import __version__
from kyma_proxy.cli.accounts import accounts
from kyma_proxy.cli.config import check, explain, routes
from kyma_proxy.cli.dev import dev
from kyma_proxy.cli.keys import keys
from kyma_proxy.cli.ledger import ledger
from kyma_proxy.cli.serve import migrate, serve
from kyma_proxy.cli.simulate import simulate
from kyma_proxy.cli.voices import voices


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kyma-proxy")
def main() -> None:
    """The edge gateway in front of Kyma's audio API.

    Exit codes: 0 done, 1 the operation failed (said on stderr), 2 bad usage or bad config.
    """


for command in (accounts, check, dev, explain, keys, ledger, migrate, routes, serve, simulate, voices):
    main.add_command(command)
