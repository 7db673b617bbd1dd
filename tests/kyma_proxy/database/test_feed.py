from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database import feed as feed_module
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.tasks import Tasks


class _Ear:
    """A subscriber that writes down what it is told; of the feed's state never anything but "not connected"."""

    def __init__(self, feed: ChangeFeed, channel: str = "news") -> None:
        self.heard: list[str] = []
        self.states: list[str] = []
        self.heard_until = float("inf")
        self._feed = feed
        feed.subscribe(channel, self.heard.append, self._lost, self._listening)

    def _lost(self) -> None:
        self.states.append("lost" if not self._feed.connected else "lost too late")
        self.heard_until = self._feed.heard_until

    def _listening(self) -> None:
        self.states.append("listening" if not self._feed.connected else "listening too late")


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


async def test_that_it_listens_is_told_before_it_counts_as_connected(feed: ChangeFeed) -> None:
    ear = _Ear(feed)
    assert not feed.connected
    await feed.start()
    assert feed.connected
    assert ear.states == ["listening"]


async def test_a_closed_connection_is_noticed_at_once_and_made_again(
    feed: ChangeFeed, relay: Any, database: Database
) -> None:
    ear = _Ear(feed)
    await feed.start()
    relay.cut()
    await _until(lambda: len(ear.states) >= 2, 0.5)
    await _until(lambda: feed.connected)
    assert ear.states == ["listening", "lost", "listening"]
    await database.execute("SELECT pg_notify('news', 'after')")
    await _until(lambda: ear.heard == ["after"])


async def test_a_half_open_connection_is_noticed_within_a_second(feed: ChangeFeed, relay: Any) -> None:
    ear = _Ear(feed)
    await feed.start()
    relay.fall_silent()
    await _until(lambda: len(ear.states) >= 2, feed_module.SILENCE_SECONDS_MAX + 1)
    await _until(lambda: feed.connected)
    assert ear.states == ["listening", "lost", "listening"]
    assert feed_module.SILENCE_SECONDS_MAX < 1


async def test_it_knows_until_when_it_has_heard_everything(feed: ChangeFeed, relay: Any) -> None:
    ear = _Ear(feed)
    assert feed.heard_until == float("-inf")
    await feed.start()
    listening_at = feed.heard_until
    assert listening_at <= monotonic_seconds()
    await _until(lambda: feed.heard_until > listening_at)
    relay.fall_silent()
    silent_at = monotonic_seconds()
    await _until(lambda: len(ear.states) >= 2)
    assert listening_at < ear.heard_until <= silent_at
    await relay.stop()
    await _until(lambda: not feed.connected)
    lost_at = feed.heard_until
    await asyncio.sleep(0.7)
    assert feed.heard_until == lost_at


async def test_a_server_that_is_primary_no_more_is_left(relay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = Tasks()
    arguments = relay.target.connect_arguments() | {"target_session_attrs": "read-write"}
    feed = ChangeFeed(DatabaseTarget("primary", arguments), tasks)
    ear = _Ear(feed)
    await feed.start()
    monkeypatch.setattr("kyma_proxy.database.feed.is_read_only", lambda _connection: True)
    await _until(lambda: ear.states[:3] == ["listening", "lost", "listening"])
    await feed.stop()
    await tasks.close()


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
    assert ear.states == ["listening", "lost"]
    made = relay.connections
    await asyncio.sleep(0.3)
    assert relay.connections == made
