from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kyma_proxy.observe.endings import COMPLETED
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.reloading import ReloadOutcome
from kyma_proxy.server import admin
from kyma_proxy.server.admin import AdminListener
from kyma_proxy.settings.problems import Problem


class State:
    """What the readiness check says."""

    def __init__(self) -> None:
        self.ready, self.reason = True, ""
        self.error: Exception | None = None
        self.delay_seconds = 0.0
        self.outcome: ReloadOutcome | None = None

    async def recall(self, request_id: str) -> dict[str, object] | None:
        return {"request_id": request_id, "status": 402} if request_id == "req 1" else None

    async def reload(self) -> ReloadOutcome | None:
        return self.outcome

    async def __call__(self) -> tuple[bool, str]:
        await asyncio.sleep(self.delay_seconds)
        if self.error is not None:
            raise self.error
        return self.ready, self.reason


@pytest.fixture
async def running() -> AsyncIterator[tuple[str, State, Metrics]]:
    state, metrics = State(), Metrics()
    listener = AdminListener(state, metrics.registry, state.reload, state.recall)
    await listener.start("127.0.0.1", 0)
    yield f"http://127.0.0.1:{listener.port}", state, metrics
    await listener.stop()
    await listener.stop()


async def _get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_health(running: tuple[str, State, Metrics]) -> None:
    base, state, _ = running
    state.ready = False
    assert (await _get(base + "/healthz"))[0] == 200


async def test_readiness_with_its_reason(running: tuple[str, State, Metrics], monkeypatch: pytest.MonkeyPatch) -> None:
    base, state, _ = running
    assert await _get(base + "/readyz") == (200, "application/json", '{"ready": true, "reason": ""}')
    state.ready, state.reason = False, "draining"
    assert await _get(base + "/readyz") == (503, "application/json", '{"ready": false, "reason": "draining"}')
    state.error = RuntimeError("secret")
    status, _, body = await _get(base + "/readyz")
    assert status == 503
    assert "secret" not in body
    monkeypatch.setattr(admin, "_READINESS_SECONDS", 0.05)
    state.delay_seconds = 5
    assert (await _get(base + "/readyz"))[0] == 503


async def test_metrics(running: tuple[str, State, Metrics]) -> None:
    base, _, metrics = running
    metrics.request_started()
    metrics.request_ended("GET", "/v1/audio/**", 200, COMPLETED, 0.1)
    status, content_type, text = await _get(base + "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain")
    assert 'kyma_requests_total{method="GET",route="/v1/audio/**",status="200"} 1.0' in text


async def test_nothing_else_is_served(running: tuple[str, State, Metrics]) -> None:
    base, _, _ = running
    assert (await _get(base + "/v1/audio/speech"))[0] == 404


async def test_an_address_in_use_is_an_error(running: tuple[str, State, Metrics]) -> None:
    base, state, metrics = running
    second = AdminListener(state, metrics.registry, state.reload, state.recall)
    with pytest.raises(OSError):
        await second.start("127.0.0.1", int(base.rsplit(":", 1)[1]))


async def test_a_reload_is_told_by_status_and_position(running: tuple[str, State, Metrics]) -> None:
    url, state, _ = running
    async with aiohttp.ClientSession() as http:

        async def reload(**headers: str) -> tuple[int, dict[str, object]]:
            async with http.post(f"{url}/reload", headers=headers) as answer:
                return answer.status, await answer.json()

        assert (await reload())[0] == 503
        state.outcome = ReloadOutcome()
        assert await reload() == (200, {"reloaded": True, "problems": [], "after_restart": []})
        state.outcome = ReloadOutcome((Problem("a.yaml", 3, 7, "wrong"),))
        status, told = await reload()
        assert (status, told["reloaded"]) == (409, False)
        assert told["problems"] == [{"file": "a.yaml", "line": 3, "column": 7, "message": "wrong"}]
        assert (await reload(Origin="https://elsewhere.example"))[0] == 403
        async with http.get(f"{url}/reload") as answer:
            assert answer.status == 405


async def test_a_request_that_is_remembered(running: tuple[str, State, Metrics]) -> None:
    url, _, _ = running
    assert await _get(f"{url}/requests/req%201") == (
        *(200, "application/json"),
        '{"request_id": "req 1", "status": 402}',
    )
    assert (await _get(f"{url}/requests/other"))[0] == 404
