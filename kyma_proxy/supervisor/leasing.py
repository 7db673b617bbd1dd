"""A worker's door to the places that it shares with the others."""

from __future__ import annotations

from typing import Any, Final

from kyma_proxy.supervisor.channel import Channel, ChannelClosedError
from kyma_proxy.tasks import Tasks

ASK_SECONDS_MAX: Final = 30.0
"""Longer than the supervisor lets anybody wait."""


class Leasing:
    """Asks the supervisor for places, once the channel to it is open."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._tasks = Tasks()

    def opened(self, channel: Channel, tasks: Tasks) -> None:
        """There is a channel now; `tasks` keep what goes on behind requests."""
        self._channel = channel
        self._tasks = tasks

    async def lease(self, key: str, limit: int, wanted: int) -> int:
        """Up to `wanted` places of a key; none where the supervisor does not answer."""
        about = {"key": key, "limit": limit, "wanted": wanted}
        return int(await self._ask("lease", about) or 0)

    def give_back(self, key: str, places: int) -> None:
        """Places that are not needed any more, behind the caller."""
        self._tasks.spawn(self._ask("returned", {"key": key, "places": places}), name="give places back")

    async def _ask(self, question: str, about: Any) -> Any:
        if self._channel is None:
            return None
        try:
            return await self._channel.ask(question, ASK_SECONDS_MAX, about)
        except ChannelClosedError:
            return None  # this worker is about to drain
