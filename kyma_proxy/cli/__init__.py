"""`kyma-proxy`, the command: one file per group of subcommands."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from kyma_proxy import __version__

_HOMES: Final = {
    "accounts": "accounts",
    "check": "config",
    "dev": "dev",
    "explain": "config",
    "inspect": "inspect",
    "keys": "keys",
    "ledger": "ledger",
    "migrate": "serve",
    "reload": "reload",
    "routes": "config",
    "serve": "serve",
    "simulate": "simulate",
    "voices": "voices",
}
"""Each subcommand and its module here."""


class Commands(click.Group):
    """Subcommands that are imported when they are asked for: a gateway would carry the simulators for nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all subcommands."""
        return sorted(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of this name, or None."""
        if cmd_name not in _HOMES:
            return None
        command: Any = getattr(import_module(f"kyma_proxy.cli.{_HOMES[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kyma-proxy")
def main() -> None:
    """The edge gateway in front of Kyma's audio API.

    Exit codes: 0 done, 1 the operation failed (said on stderr), 2 bad usage or bad config.
    """
