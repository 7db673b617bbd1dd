from __future__ import annotations

import asyncio
from typing import Any

from kyma_proxy.server.occupancy import Occupancy


async def test_empty_means_no_connection_and_no_request() -> None:
    occupancy = Occupancy()
    connection: Any = object()
    await occupancy.empty()
    occupancy.opened(connection)
    occupancy.request_begun()
    waiting = asyncio.ensure_future(occupancy.empty())
    await asyncio.sleep(0)
    occupancy.closed(connection)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    occupancy.request_ended()
    await asyncio.wait_for(waiting, 1)
