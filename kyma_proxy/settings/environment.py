"""The one place that reads the process environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DEFAULT_CONFIG_PATH: Final = Path("config/gateway.yaml")


def environment() -> Mapping[str, str]:
    """The environment of this process, live."""
    return os.environ  # noqa: TID251


def default_config_path() -> Path:
    """`$KYMA_CONFIG`, or `config/gateway.yaml` under the working directory when it is unset or empty."""
    named = environment().get("KYMA_CONFIG")
    return Path(named) if named else DEFAULT_CONFIG_PATH
