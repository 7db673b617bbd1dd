"""What the subcommands share: options, the database, output, and errors as exit codes."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from kyma_proxy.database.access import SchemaMismatchError, open_database
from kyma_proxy.database.embedded import EmbeddedError
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.migrate import MigrationError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.errors import GatewayError
from kyma_proxy.loops import LoopMissingError, LoopName, run_on
from kyma_proxy.money import parse_usd
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.settings import ConfigError, default_config_path, load_database_settings

_LOOK_FIRST = "Look (`accounts show`, `keys list`, `voices list`) before you repeat it; a `--ref` makes repeating safe."

P = ParamSpec("P")
T = TypeVar("T")

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=default_config_path,
    show_default="config/gateway.yaml, or KYMA_CONFIG",
    help="The configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _note(_context: click.Context, _parameter: click.Parameter, note: str | None) -> str | None:
    if note is not None and (len(note) > 1000 or "\0" in note):
        raise click.BadParameter("a note is at most 1000 characters")
    return note


note_option = click.option("--note", callback=_note, help="Why, for the books.")


class Failure(click.ClickException):
    """The operation failed: said on stderr, exit 1."""

    exit_code = 1


class BadConfig(click.ClickException):
    """The configuration has problems: one line each on stderr, exit 2."""

    exit_code = 2

    def __init__(self, error: ConfigError) -> None:
        super().__init__("\n".join(str(problem) for problem in error.problems))

    def show(self, file: Any = None) -> None:
        """Print the problems as they are, so that editors and scripts can read the positions."""
        click.echo(self.message, file=file, err=True)


class Usd(click.ParamType[int]):
    """An amount in dollars, zero or more, no finer than a micro-dollar; its value is micro-dollars."""

    name = "USD"

    def __init__(self, *, zero_allowed: bool) -> None:
        self._micros_min = 0 if zero_allowed else 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Micro-dollars; a bad amount is a usage error (exit 2)."""
        if isinstance(value, int):
            return value
        try:
            micros = parse_usd(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if micros < self._micros_min:
            self.fail(f"{value!r} is not an amount above zero", param, ctx)
        return micros


def runs_async(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run an async subcommand, and turn what it raises into the documented exit codes."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_command(command(*args, **kwargs))

    return run


def run_command(work: Coroutine[Any, Any, T], loop: LoopName = "asyncio") -> T:
    """Run the work of a subcommand on a loop of its own, and turn what it raises into the documented exit codes."""
    # Standard output is for data alone; `serve` and `dev` set their own log up.
    configure_logging("error", json=False, stream=sys.stderr)
    with exit_codes():
        return run_on(loop, work)


@contextmanager
def exit_codes() -> Iterator[None]:
    """What is raised within becomes one of the documented exit codes."""
    try:
        yield
    except ConfigError as error:
        raise BadConfig(error) from error
    except CommitUnknownError as error:
        raise Failure(f"{error.message} {_LOOK_FIRST}") from error
    except DatabaseUnavailableError as error:
        cause = error.__cause__ or "no connection is free"
        raise Failure(f"the database cannot be used: {cause or type(cause).__name__}") from error
    except GatewayError as error:
        raise Failure(error.message) from error
    except (EmbeddedError, MigrationError, SchemaMismatchError, LoopMissingError, OSError) as error:
        raise Failure(str(error)) from error


@asynccontextmanager
async def database_of(config_path: Path) -> AsyncIterator[Database]:
    """The configured database; only the `database` section of the file is read."""
    async with open_database(load_database_settings(config_path)) as (database, _):
        yield database


async def transact(config_path: Path, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
    """Run one transaction on the configured database."""
    async with database_of(config_path) as database:
        return await database.transact(work)


def actor() -> str:
    """Who is at the command line, for the books."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"cli:{name}"


def emit(data: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a record: JSON on one line, or `name  value` lines."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    width = max(map(len, data), default=0)
    for key, value in data.items():
        click.echo(f"{key:<{width}}  {_text(value)}")


def emit_list(name: str, rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print a list: `{"name": [rows]}` as JSON, or a table."""
    if as_json:
        click.echo(json.dumps({name: list(rows)}, ensure_ascii=False))
        return
    if not rows:
        click.echo(f"no {name}")
        return
    columns = list(rows[0])
    table = [columns, *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return "".join(character if character.isprintable() else "?" for character in str(value))
