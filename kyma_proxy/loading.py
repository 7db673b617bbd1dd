"""Reading a configuration with everything checked that can be without starting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from kyma_proxy.observe.tracing import require_tracing
from kyma_proxy.pipeline.runner import check_plan
from kyma_proxy.pipeline.warnings import warnings_of
from kyma_proxy.plugin import Plugin
from kyma_proxy.server.tls import check_certificate
from kyma_proxy.settings import ConfigError, Settings, load_settings
from kyma_proxy.settings.problems import Problem

_log = structlog.get_logger("kyma_proxy.config")


def load_checked(path: Path, plugins: Mapping[str, type[Plugin[Any]]], *, named: Path | None = None) -> Settings:
    """The configuration at `path`; warnings go to the log.

    Where that is a copy, positions name the file that it was `named`. Raises ConfigError.
    """
    try:
        settings = load_settings(path, plugins=plugins)
        check_certificate(settings)
        require_tracing(settings)
        laid_out = check_plan(settings, plugins)
    except ConfigError as error:
        raise ConfigError(_renamed(each, named) for each in error.problems) from error
    for warning in warnings_of(settings, plugins, laid_out):
        at = _renamed(warning, named)
        _log.warning("config_warning", position=f"{at.file}:{at.line}", message=at.message)
    return settings


def _renamed(problem: Problem, named: Path | None) -> Problem:
    return problem if named is None else replace(problem, file=str(named))
