"""`kyma-proxy reload`: what SIGHUP does, with the outcome as exit code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kyma_proxy.cli.common import BadConfig, Failure, config_option, emit, json_option
from kyma_proxy.settings import ConfigError, load_server_settings
from kyma_proxy.settings.problems import Problem
from kyma_proxy.upstreams.running import NotRunningError, ask


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
    try:
        status, told = ask(admin, "POST", "/reload")
    except NotRunningError as error:
        raise Failure(str(error)) from error
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
