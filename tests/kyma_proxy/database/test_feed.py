from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database
from kyma_proxy.tasks import Tasks


class _Ear:
    """A subscriber that writes down what it hears, with the state of the feed at that moment."""

    def __init__(self, feed: ChangeFeed, channel: str = "news") -> None:
        self.heard: list[str] = []
        self.losses: list[bool] = []
        self._feed = feed
        feed.subscribe(channel, self.heard.append, self._lost)

    def _lost(self) -> None:
        self.losses.append(self._feed.connected)


async def _until(condition: Callable[[], bool], seconds: float = 3) -> float:
    """Wait until the condition holds and return how long that took."""
    began = monotonic_seconds()
    while not condition():
        assert monotonic_seconds() - began < seconds, "it did not happen in time"
        await asyncio.sleep(0.01)
    return monotonic_seconds() - began


@pytest.fixture
async def feed(relay: Any) -> AsyncIterator[ChangeFeed]:
    tasks = Tasks()
    feed = ChangeFeed(relay.target, tasks)
    yield feed
    await feed.stop()
    await tasks.close()


async def test_messages_reach_the_subscribers_of_their_channel(feed: ChangeFeed, database: Database) -> None:
    ear, other = _Ear(feed), _Ear(feed, "weather")
    await feed.start()
    assert feed.connected
    await database.execute("SELECT pg_notify('news', 'one')")
    await database.execute("SELECT pg_notify('weather', 'rain')")
    await _until(lambda: bool(ear.heard and other.heard))
    assert (ear.heard, other.heard) == (["one"], ["rain"])


async def test_nothing_remembered_before_listening_is_trusted(feed: ChangeFeed) -> None:
    ear = _Ear(feed)
    assert not feed.connected
    await feed.start()
    assert ear.losses == [False]


async def test_a_closed_connection_is_noticed_at_once_and_made_again(
    feed: ChangeFeed, relay: Any, database: Database
) -> None:
    ear = _Ear(feed)
    await feed.start()
    relay.cut()
    await _until(lambda: len(ear.losses) >= 2, 0.5)
    await _until(lambda: feed.connected)
    # When lost, and once more before `connected`: what was said in between went unheard.
    assert ear.losses == [False, False, False]
    await database.execute("SELECT pg_notify('news', 'after')")
    await _until(lambda: ear.heard == ["after"])


async def test_a_half_open_connection_is_noticed_within_two_seconds(feed: ChangeFeed, relay: Any) -> None:
    ear = _Ear(feed)
    await feed.start()
    relay.fall_silent()
    assert await _until(lambda: len(ear.losses) >= 2) < 2
    await _until(lambda: feed.connected)


async def test_starting_without_a_database_connects_when_it_comes(feed: ChangeFeed, relay: Any) -> None:
    await relay.stop()
    await feed.start()
    assert not feed.connected
    await relay.start()
    await _until(lambda: feed.connected)


async def test_it_stops_and_stays_stopped(feed: ChangeFeed, relay: Any) -> None:
    ear = _Ear(feed)
    await feed.start()
    await feed.stop()
    await feed.stop()
    assert not feed.connected
    assert ear.losses == [False, False]
    made = relay.connections
    await asyncio.sleep(0.3)
    assert relay.connections == made
