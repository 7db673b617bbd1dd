"""`kyma-proxy reload`: what SIGHUP does, with the outcome as exit code."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import click

from kyma_proxy.cli.common import BadConfig, Failure, config_option, emit, json_option
from kyma_proxy.settings import ConfigError, HostPort, load_server_settings
from kyma_proxy.settings.problems import Problem

_PATIENCE_SECONDS: Final = 120.0
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listened on, not asked


@click.command()
@config_option
@json_option
def reload(config_path: Path, as_json: bool) -> None:
    """Have the running gateway take over its configuration, whole or not at all.

    Exit 2 when it refuses the file, each problem on its own line; 1 when no gateway answers at `server.admin_listen`.
    """
    try:
        admin = load_server_settings(config_path).admin_listen
    except ConfigError as error:
        raise BadConfig(error) from error
    status, told = ask(admin, "POST", "/reload")
    if status == 409:
        refused = ConfigError(Problem(**each) for each in told["problems"])
        if as_json:
            click.echo(json.dumps(told))
        raise BadConfig(refused)
    if status != 200:
        raise Failure(f"not reloaded: {told.get('reason', f'the gateway answered {status}')}")
    if as_json:
        click.echo(json.dumps(told))
        return
    for each in told["after_restart"]:
        click.echo(f"{each['file']}:{each['line']}:{each['column']}: {each['message']}", err=True)
    emit({"reloaded": "yes"}, as_json=False)


def ask(admin: HostPort, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """Ask the running gateway's admin listener; the status and the JSON of its answer. Raises Failure."""
    connection = HTTPConnection(_ANYWHERE.get(admin.host, admin.host), admin.port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as error:
        raise Failure(f"no gateway answers at {admin.host}:{admin.port}: {error}") from error
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise Failure(f"what answers at {admin.host}:{admin.port} is no gateway")
    return answer.status, told
