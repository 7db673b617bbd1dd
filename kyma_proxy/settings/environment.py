"""The one place that reads the process environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def environment() -> Mapping[str, str]:
    """The environment of this process, live."""
    return os.environ  # noqa: TID251


def default_config_path() -> Path:
    """`$KYMA_CONFIG`, or `config/gateway.yaml` under the working directory when it is unset or empty."""
    return Path(environment().get("KYMA_CONFIG") or "config/gateway.yaml")
