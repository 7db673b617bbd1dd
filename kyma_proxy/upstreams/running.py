"""Asking the admin listener of a gateway that runs: what the command line does from another process."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from kyma_proxy.settings import HostPort

PATIENCE_SECONDS: Final = 120.0
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listened on, not asked


class NotRunningError(Exception):
    """No gateway answers there; the message says where and why."""


def ask(admin: HostPort, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """Ask, and wait; the status and the JSON of the answer. Raises NotRunningError."""
    connection = HTTPConnection(_ANYWHERE.get(admin.host, admin.host), admin.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as error:
        raise NotRunningError(f"no gateway answers at {admin.host}:{admin.port}: {error}") from error
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise NotRunningError(f"what answers at {admin.host}:{admin.port} is no gateway")
    return answer.status, told
