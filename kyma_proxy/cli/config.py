"""`kyma-proxy check`, `routes` and `explain`: what the configuration says, without starting anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from kyma_proxy.cli.common import BadConfig, Failure, config_option, emit, emit_list, json_option
from kyma_proxy.errors import GatewayError
from kyma_proxy.observe.tracing import require_tracing
from kyma_proxy.pipeline.guards import Guards
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.pipeline.plan import Plan
from kyma_proxy.pipeline.router import Router
from kyma_proxy.pipeline.runner import check_plan
from kyma_proxy.pipeline.warnings import warnings_of
from kyma_proxy.plugin import Plugin, Spool
from kyma_proxy.server.intake import read_target
from kyma_proxy.server.parser import require_c_parser
from kyma_proxy.server.tls import check_certificate
from kyma_proxy.settings import ConfigError, PluginEntry, Settings, load_server_settings, load_settings
from kyma_proxy.upstreams.running import NotRunningError, ask


def _load(config_path: Path) -> tuple[Settings, Mapping[str, type[Plugin[Any]]], Plan]:
    plugins = InstalledPlugins()
    settings = load_settings(config_path, plugins=plugins)
    check_certificate(settings)
    require_tracing(settings)
    require_c_parser(settings)
    return settings, plugins, check_plan(settings, plugins)


@click.command()
@config_option
@json_option
def check(config_path: Path, as_json: bool) -> None:
    """Validate the configuration offline: each problem on its own line as file:line:column: message, exit 2."""
    try:
        settings, plugins, laid_out = _load(config_path)
    except ConfigError as error:
        if as_json:
            fields = [
                {"file": each.file, "line": each.line, "column": each.column, "message": each.message}
                for each in error.problems
            ]
            click.echo(json.dumps({"problems": fields}))
        else:
            for problem in error.problems:
                click.echo(str(problem))
        raise SystemExit(BadConfig.exit_code) from error
    for warning in warnings_of(settings, plugins, laid_out):
        click.echo(f"{warning.file}:{warning.line}:{warning.column}: warning: {warning.message}", err=True)
    if as_json:
        click.echo(json.dumps({"problems": []}))
    else:
        names = ", ".join(entry.use for entry in settings.plugins) or "none"
        click.echo(f"{config_path}: no problems; plugins: {names}; routes: {len(settings.routes)}")


@click.command()
@config_option
@json_option
def routes(config_path: Path, as_json: bool) -> None:
    """The compiled table: guarded endpoints first, then the routes in the order in which they match."""
    try:
        settings, _, laid_out = _load(config_path)
    except ConfigError as error:
        raise BadConfig(error) from error
    rows = []
    for endpoint in laid_out.endpoints.values():
        for method, members in endpoint.members.items():
            chain = [settings.plugins[each].use for each in members]
            row = {"path": endpoint.path, "methods": [method], "plugins": chain, "models": None, "upstream": None}
            rows.append(row)
    for route in settings.routes:
        rows.append(
            {
                "path": route.path,
                "methods": list(route.methods) if route.methods is not None else None,
                "plugins": [],
                "models": list(route.models) if route.models is not None else None,
                "upstream": route.upstream,
            }
        )
    if as_json:
        click.echo(json.dumps({"routes": rows}))
        return
    emit_list("routes", rows, as_json=False)


@click.command()
@click.argument("method", metavar="METHOD")
@click.argument("path", required=False)
@click.option("--model", help="The model that the body would name.")
@config_option
@json_option
def explain(method: str, path: str | None, model: str | None, config_path: Path, as_json: bool) -> None:
    """What one request would meet: route, plugins in order, body mode, limits, price, upstream.

    With a request id alone, from the log or from `x-request-id`: what the running gateway remembers of that request.
    """
    if path is None:
        _explain_past(method, config_path, as_json=as_json)
        return
    try:
        settings, plugins, laid_out = _load(config_path)
    except ConfigError as error:
        raise BadConfig(error) from error
    data: dict[str, Any] = {"method": method.upper(), "path": path}
    try:
        target = read_target(path)
        guard = Guards(laid_out.endpoints).met_by(method.upper(), target)
    except GatewayError as error:
        emit(data | {"answer": f"{error.code.status} {error.message}"}, as_json=as_json)
        return
    data["path"] = target.path
    entries = [settings.plugins[position] for position in guard.members[method.upper()]] if guard else []
    data |= _chain(entries, plugins)
    if all(plugins[entry.use].proceeds for entry in entries):
        # Where no plugin reads the body nobody knows its model; where one answers itself no upstream is reached.
        data |= _goes_to(settings, method.upper(), target.path, model if guard else None, by_model=guard is not None)
    emit(data, as_json=as_json)


def _explain_past(request_id: str, config_path: Path, *, as_json: bool) -> None:
    """Print what became of a request. Exit 1 where no gateway runs, or none remembers it."""
    try:
        admin = load_server_settings(config_path).admin_listen
    except ConfigError as error:
        raise BadConfig(error) from error
    try:
        status, told = ask(admin, "GET", f"/requests/{quote(request_id, safe='')}")
    except NotRunningError as error:
        raise Failure(str(error)) from error
    if status != 200:
        raise Failure(f"{request_id} is not remembered: the gateway has forgotten it, or never had it")
    emit(told, as_json=as_json)


def _chain(entries: Sequence[PluginEntry], plugins: Mapping[str, type[Plugin[Any]]]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "plugins": [entry.use for entry in entries],
        "body": "streamed",
        "route": None,
        "upstream": None,
    }
    for entry in entries:
        plugin = plugins[entry.use]
        use = plugin.body_use(entry.config)
        if isinstance(use, Spool):
            data["body"] = f"read by {entry.use}, at most {use.max_bytes} bytes"
        data |= {f"{entry.use}: {key}": value for key, value in plugin.explain(entry.config).items()}
    return data


def _goes_to(settings: Settings, method: str, path: str, model: str | None, *, by_model: bool) -> dict[str, Any]:
    """The route and upstream; with `by_model`, and no model named, also where each model of a route would lead."""
    router = Router(settings.routes)
    route = router.match(method, path, model)
    data: dict[str, Any] = {
        "model": model,
        "route": route.pattern if route else None,
        "upstream": route.upstream if route else None,
    }
    if route is not None:
        data["base_urls"] = [url for url, _ in settings.upstreams[route.upstream].doors]
    if not by_model or model is not None:
        return data
    for each, written in zip(router.routes, settings.routes, strict=True):
        for pattern in written.models or ():
            if each.matches(method, path, pattern):
                data.setdefault(f"upstream of {pattern}", each.upstream)
    return data
