"""What is remembered is fresh, then known, then nothing, and always bounded."""

from __future__ import annotations

import pytest

from feed_kit import Clock, FeedInHand
from kyma_proxy.database.memory import Memory
from kyma_proxy.database.outage import Outage
from kyma_proxy.tasks import Tasks

KEEP_SECONDS = 10.0
BELIEVE_SECONDS = 100.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed(clock: Clock) -> FeedInHand:
    feed = FeedInHand(clock)
    feed.listen()
    return feed


def make_memory(feed: FeedInHand, *, announced: bool = True, max_entries: int = 3) -> Memory[str, int]:
    outage = Outage(feed.as_feed, Tasks(), believe_seconds=BELIEVE_SECONDS)
    return Memory(feed.as_feed, outage, max_entries=max_entries, keep_seconds=KEEP_SECONDS, announced=announced)


def test_an_answer_is_fresh_for_a_while(feed: FeedInHand, clock: Clock) -> None:
    memory = make_memory(feed)
    memory.keep("a", 1, clock.now)
    assert memory.fresh("a", clock.now + KEEP_SECONDS - 0.1) == 1
    assert memory.fresh("a", clock.now + KEEP_SECONDS) is None
    assert memory.fresh("b", clock.now) is None
    assert "a" in memory
    assert "b" not in memory


def test_nothing_is_fresh_without_the_feed(feed: FeedInHand, clock: Clock) -> None:
    memory = make_memory(feed)
    memory.keep("a", 1, clock.now)
    feed.lose()
    assert memory.fresh("a", clock.now) is None
    assert memory.known("a", clock.now) == 1


def test_what_the_feed_announces_is_known_from_when_it_was_last_heard(feed: FeedInHand, clock: Clock) -> None:
    announced, unannounced = make_memory(feed), make_memory(feed, announced=False)
    for memory in (announced, unannounced):
        memory.keep("a", 1, clock.now)
    clock.now += 50
    feed.ping()
    assert unannounced.known("a", clock.now + 49) == 1
    assert unannounced.known("a", clock.now + 50) is None
    assert announced.known("a", clock.now + 99) == 1
    assert announced.known("a", clock.now + 100) is None


def test_an_answer_that_came_after_the_loss_is_as_old_as_its_question(feed: FeedInHand, clock: Clock) -> None:
    memory = make_memory(feed)
    feed.lose()
    memory.keep("a", 1, clock.now + 20)
    assert memory.known("a", clock.now + 119) == 1
    assert memory.known("a", clock.now + 120) is None


def test_what_is_forgotten_is_neither_fresh_nor_known(feed: FeedInHand, clock: Clock) -> None:
    memory = make_memory(feed)
    for key, value in (("a", 1), ("b", 2), ("c", 2)):
        memory.keep(key, value, clock.now)
    memory.forget("a")
    memory.forget("never kept")
    assert (memory.fresh("a", clock.now), memory.known("a", clock.now)) == (None, None)
    assert memory.known("b", clock.now) == 2
    memory.forget_where(lambda value: value == 2)
    assert len(memory) == 0
    memory.keep("a", 1, clock.now)
    memory.clear()
    assert memory.known("a", clock.now) is None


def test_the_one_kept_longest_ago_goes_first(feed: FeedInHand, clock: Clock) -> None:
    memory = make_memory(feed)
    for key in ("a", "b", "c", "a", "d"):
        memory.keep(key, 1, clock.now)
    assert [key for key in "abcd" if key in memory] == ["a", "c", "d"]
    assert repr(memory) == "Memory(3 of at most 3)"
