"""The whole gateway on real sockets: real PostgreSQL, the simulated provider and origin, a real HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e_kit.raw_edge import Edge, EdgeOptions, OpenEdge, raw_edge
from e2e_kit.world import CONFIG, World, database_url, metering_plugin
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.app import Application, Rehearsal
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def make_world(database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Build a world with more settings: `make_world(clone="min_seconds: 1", credit_micros=0)`.

    Speech is metered if `metering` is given: more of that plugin's config, perhaps empty.
    """
    async with AsyncExitStack() as stack:

        async def make(
            *,
            clone: str = "",
            ownership: str = "",
            server: str = "",
            minimax_extra: str = "",
            origin_fields: str = "",
            route_extra: str = "",
            metering: str | None = None,
            credit_micros: int = 25_000_000,
            handler_cancellation: bool = False,
        ) -> World:
            minimax = await stack.enter_async_context(MiniMaxSimulator())
            origin = await stack.enter_async_context(OriginSimulator())
            path = tmp_path / "gateway.yaml"
            text = CONFIG.format(
                server=server,
                clone=clone,
                ownership=ownership,
                minimax=minimax.base_url,
                key=minimax.api_key,
                minimax_extra=minimax_extra,
                origin=origin.base_url,
                plugins="" if metering is None else metering_plugin(metering),
            )
            if origin_fields:
                text = text.replace(f'base_url: "{origin.base_url}"', origin_fields)
            if route_extra:
                text = text.replace("upstream: origin}", f"upstream: origin, {route_extra}}}")
            path.write_text(text)
            plugins = InstalledPlugins()
            environ = {"TEST_DATABASE_URL": database_url(database_target)}
            settings = load_settings(path, plugins=plugins, environ=environ)
            application = Application(settings, plugins, rehearsal=Rehearsal(handler_cancellation=handler_cancellation))
            await application.start()
            stack.push_async_callback(application.stop)
            opened = await application.database.transact(
                lambda connection: open_account(connection, "Ada", credit_micros, "test")
            )
            # Closed before the gateway drains, or its idle connections would be waited for.
            session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
            return World(application, minimax, origin, session, opened.account_id, opened.api_key)

        yield make


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    """A gateway with the default settings and an account with $25.00."""
    return await make_world()


@pytest.fixture
async def open_edge(database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[OpenEdge]:
    """Build a gateway whose clients and origin are written byte by byte: `open_edge(server="…")`."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Edge:
            return await stack.enter_async_context(raw_edge(database_target, tmp_path, EdgeOptions(**options)))

        yield start


@pytest.fixture
async def edge(open_edge: OpenEdge) -> Edge:
    """Such a gateway with the usual options."""
    return await open_edge()


@pytest.fixture(params=[False, True], ids=["cancellation-off", "cancellation-on"])
async def either_edge(open_edge: OpenEdge, request: pytest.FixtureRequest) -> Edge:
    """One whose handlers are cancelled when their client leaves, and one whose are not."""
    return await open_edge(handler_cancellation=request.param)
