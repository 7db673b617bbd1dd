"""Asking a gateway that runs, or does not."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kyma_proxy.reloading import ReloadOutcome
from kyma_proxy.server.admin import AdminListener
from kyma_proxy.settings import HostPort
from kyma_proxy.upstreams.running import NotRunningError, ask


async def test_what_the_admin_listener_says() -> None:
    async def ready() -> tuple[bool, str]:
        return False, "draining"

    async def reload() -> ReloadOutcome:
        return ReloadOutcome()

    async def recall(request_id: str) -> None:
        return None

    listener = AdminListener(ready, CollectorRegistry(), reload, recall)
    await listener.start("127.0.0.1", 0)
    try:
        anywhere = HostPort("0.0.0.0", listener.port)
        assert await asyncio.to_thread(ask, anywhere, "POST", "/reload") == (200, ReloadOutcome().as_json())
        assert await asyncio.to_thread(ask, anywhere, "GET", "/readyz") == (
            503,
            {"ready": False, "reason": "draining"},
        )
        with pytest.raises(NotRunningError):
            await asyncio.to_thread(ask, anywhere, "GET", "/metrics")
    finally:
        await listener.stop()


def test_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NotRunningError, match=f"127.0.0.1:{port}"):
        ask(HostPort("127.0.0.1", port), "POST", "/reload")
