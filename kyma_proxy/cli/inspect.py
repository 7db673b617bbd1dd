"""`kyma-proxy inspect FILE…`: what the gateway would say of a customer's recording."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from kyma_proxy.cli.common import BadConfig, Failure, config_option, emit, emit_list, json_option
from kyma_proxy.pipeline.loader import InstalledPlugins, PluginLoadError
from kyma_proxy.plugin import Inspection
from kyma_proxy.settings import DEFAULT_CONFIG_PATH, ConfigError, load_plugin_entries

Inspect = Callable[[memoryview], Inspection | None]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@config_option
@json_option
def inspect(files: Sequence[Path], config_path: Path, as_json: bool) -> None:
    """Format, duration, the rule that decided and the verdict of the voice-clone judge on recordings.

    The limits are those of the configuration; where its file does not exist and none was named, the documented ones.
    Exit 1 if a file cannot be read; a verdict is no failure, whatever it says.
    """
    is_unnamed = config_path == DEFAULT_CONFIG_PATH and not config_path.exists()
    inspectors = _inspectors(None if is_unnamed else config_path)
    rows, unread = [], []
    for file in files:
        try:
            with _contents(file) as data:
                rows.append(_row(file, data, inspectors))
        except (OSError, ValueError) as error:
            unread.append(f"{file}: {getattr(error, 'strerror', None) or error}")
    _print(rows, len(files), as_json=as_json)
    if unread:
        raise Failure("\n".join(unread))


def _inspectors(config_path: Path | None) -> list[Inspect]:
    """Who can be asked about a file: the configured plugins first, then whatever else is installed, by its defaults."""
    plugins = InstalledPlugins()
    inspectors: list[Inspect] = []
    configured: set[str] = set()
    if config_path is not None:
        try:
            entries = load_plugin_entries(config_path, plugins=plugins)
        except ConfigError as error:
            raise BadConfig(error) from error
        for entry in entries:
            configured.add(entry.use)
            inspectors.append(partial(plugins[entry.use].inspect, entry.config))
    for name in sorted(set(plugins) - configured):
        inspectors.append(partial(_by_defaults, plugins, name))
    return inspectors


def _by_defaults(plugins: InstalledPlugins, name: str, data: memoryview) -> Inspection | None:
    try:
        return plugins[name].inspect(None, data)
    except PluginLoadError:
        return None


def _row(file: Path, data: memoryview, inspectors: Sequence[Inspect]) -> dict[str, Any]:
    found = next((each for inspector in inspectors if (each := inspector(data)) is not None), None)
    if found is None:
        raise Failure("no installed plugin judges files; voice_clone does")
    return {
        "file": str(file),
        "bytes": len(data),
        "format": found.format,
        "duration_seconds": None if found.seconds is None else round(found.seconds, 6),
        "verdict": found.verdict,
        "status": found.status,
        "code": found.code,
        "rule": found.rule,
        "message": found.message,
    }


def _print(rows: Sequence[dict[str, Any]], asked: int, *, as_json: bool) -> None:
    if as_json or asked > 1:
        emit_list("files", rows, as_json=as_json)
    elif rows:
        emit(rows[0], as_json=False)


@contextmanager
def _contents(file: Path) -> Iterator[memoryview]:
    """A file's bytes, mapped and not copied. Raises OSError, and ValueError for what is no regular file."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        if not found.st_size:
            yield memoryview(b"")
            return
        # Unmapped with the last reference: whoever was asked about it may still hold a view of it, in an error.
        yield memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(descriptor)
