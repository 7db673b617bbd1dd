"""How a database that may be away is asked, and that nothing believed meanwhile is older than it may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_kit import Clock, FeedInHand
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.outage import RETRY_SECONDS, Outage
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.ownership import UNLISTED_SECONDS, OwnershipBook
from outage_model import KEY, OUTAGE_SECONDS, OWN, SYSTEM, UNBORN, World


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kyma_proxy.database.outage.monotonic_seconds", clock)
        yield clock


@pytest.fixture
def feed(clock: Clock) -> FeedInHand:
    return FeedInHand(clock)


@pytest.fixture
async def outage(feed: FeedInHand) -> AsyncIterator[Outage]:
    tasks = Tasks()
    yield Outage(feed.as_feed, tasks, believe_seconds=OUTAGE_SECONDS)
    await tasks.close()


class Question:
    """A look-up that does what it is told, and what is known if it fails."""

    def __init__(self, known: str | None = "known") -> None:
        self.known = known
        self.fault: Exception | None = None
        self.held: asyncio.Event | None = None
        self.asked = 0
        self.answered = 0

    async def look_up(self) -> str:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        self.answered += 1
        if self.fault is not None:
            raise self.fault
        return "looked up"

    def recollect(self) -> str | None:
        return self.known

    async def ask(self, outage: Outage) -> str:
        return await outage.ask(self.look_up, self.recollect)


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("known", ["known", None])
async def test_a_database_that_answers_is_believed_first(
    outage: Outage, feed: FeedInHand, connected: bool, known: str | None
) -> None:
    feed.connected = connected
    question = Question(known)
    for asked in (1, 2):
        assert await question.ask(outage) == "looked up"
        assert question.asked == asked


async def test_what_is_not_known_raises_each_time_and_is_asked_each_time(outage: Outage) -> None:
    question = Question(None)
    question.fault = DatabaseUnavailableError()
    for asked in (1, 2, 3):
        with pytest.raises(DatabaseUnavailableError):
            await question.ask(outage)
        assert question.asked == asked


async def test_what_is_known_is_the_answer_and_one_asks_each_second(outage: Outage, clock: Clock) -> None:
    question = Question()
    question.fault = DatabaseUnavailableError()
    for second in range(1, 4):
        for _ in range(3):
            assert await question.ask(outage) == "known"
        assert question.asked == second
        clock.now += RETRY_SECONDS
    assert "away" in repr(outage)
    question.fault = None
    assert [await question.ask(outage) for _ in range(2)] == ["looked up"] * 2
    assert repr(outage) == "Outage(not known to be away)"


async def test_one_that_asks_finds_out_for_all(outage: Outage, clock: Clock) -> None:
    unknown, question = Question(None), Question()
    unknown.fault = DatabaseUnavailableError()
    with pytest.raises(DatabaseUnavailableError):
        await unknown.ask(outage)
    assert await question.ask(outage) == "known"
    assert question.asked == 0
    unknown.fault = None
    await unknown.ask(outage)
    assert await question.ask(outage) == "looked up"


async def test_with_the_feed_connected_it_is_asked_every_time(outage: Outage, feed: FeedInHand) -> None:
    question = Question()
    question.fault = DatabaseUnavailableError()
    await question.ask(outage)
    feed.listen()
    for asked in (2, 3):
        assert await question.ask(outage) == "known"
        assert question.asked == asked
    feed.lose()
    assert await question.ask(outage) == "known"
    assert question.asked == 4, "that it was away once says nothing about the next time"


async def test_a_silent_database_is_not_waited_for_but_its_answer_counts(outage: Outage, clock: Clock) -> None:
    question = Question()
    question.held = asyncio.Event()
    assert [await question.ask(outage) for _ in range(3)] == ["known"] * 3
    assert (question.asked, question.answered) == (1, 0)
    question.held.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert question.answered == 1
    assert await question.ask(outage) == "looked up"


async def test_a_silent_database_is_waited_for_once_nothing_is_known_any_more(outage: Outage) -> None:
    question = Question()
    question.held = asyncio.Event()
    loop = asyncio.get_running_loop()
    asking = loop.create_task(question.ask(outage))
    loop.call_later(0.1, setattr, question, "known", None)
    loop.call_later(0.8, question.held.set)
    assert await asking == "looked up"


async def test_a_line_found_silent_during_a_look_up_ends_the_waiting(outage: Outage, feed: FeedInHand) -> None:
    feed.listen()
    question = Question()
    question.held = asyncio.Event()
    loop = asyncio.get_running_loop()
    asking = loop.create_task(question.ask(outage))
    loop.call_later(0.6, feed.lose)
    assert await asking == "known"
    question.held.set()


async def test_an_old_failure_says_nothing_about_now(outage: Outage, clock: Clock) -> None:
    slow, question = Question(None), Question()
    slow.fault, slow.held = DatabaseUnavailableError(), asyncio.Event()
    failing = asyncio.get_running_loop().create_task(slow.ask(outage))
    await asyncio.sleep(0)
    clock.now += 3
    slow.held.set()
    with pytest.raises(DatabaseUnavailableError):
        await failing
    assert await question.ask(outage) == "looked up"


async def test_a_fault_is_not_an_absence(outage: Outage) -> None:
    question = Question(None)
    question.fault = ValueError("a fault of the statement")
    with pytest.raises(ValueError, match="of the statement"):
        await question.ask(outage)


async def test_with_nothing_to_believe_nothing_is_believed(feed: FeedInHand, clock: Clock) -> None:
    outage = Outage(feed.as_feed, Tasks(), believe_seconds=0)
    assert not outage.believes(clock.now, clock.now)


USES = st.sampled_from([("use", each) for each in ((KEY,), (OWN,), (SYSTEM,), (UNBORN,), (OWN, SYSTEM))])
CLOSES = st.sampled_from([("close", each) for each in (KEY, OWN, SYSTEM, UNBORN)])
PAUSES = st.sampled_from([("pass_seconds", each) for each in (0.3, 1.1, UNLISTED_SECONDS, 61.0, 200.0)])
TURNS = st.sampled_from([(each,) for each in ("go_deaf", "lose", "listen", "go_away", "come_back", "hold", "let_go")])
STEPS = st.one_of(USES, USES, CLOSES, PAUSES, TURNS).map(lambda step: [step])
OUTAGE = [("go_away",), ("pass_seconds", 1.1)]
RECOVERY = [("come_back",), ("listen",)]
RACES = CLOSES.map(lambda close: [("hold",), ("use", (close[1],)), close, ("let_go",), ("use", (close[1],))])
HISTORIES = st.lists(st.one_of(STEPS, STEPS, STEPS, st.sampled_from([OUTAGE, RECOVERY]), RACES), max_size=30)


async def played(steps: list[tuple[Any, ...]]) -> None:
    """Every answer on the way is checked."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        for module in ("database.outage", "accounts.directory", "voices.ownership"):
            patch.setattr(f"kyma_proxy.{module}.monotonic_seconds", clock)
        patch.setattr("kyma_proxy.database.outage.PATIENCE_SECONDS", 0)
        world = World(clock)
        try:
            for step in (*steps, ("let_go",)):
                pending = world.play(step)
                if pending is not None:
                    await pending
        finally:
            await world.tasks.close()


def dangers(subject: str) -> list[list[tuple[Any, ...]]]:
    """Histories in which a voice or key is closed unheard and then asked for."""
    use, close = ("use", (subject,)), ("close", subject)
    return [
        [use, *OUTAGE, close, use, ("pass_seconds", 200.0), ("pass_seconds", 200.0), use],
        [use, *OUTAGE, close, *RECOVERY, *OUTAGE, use],
        [use, *OUTAGE, use, ("pass_seconds", 1.1), use, close, ("come_back",), ("pass_seconds", 1.1), use],
        [("lose",), ("hold",), use, close, ("listen",), ("let_go",), *OUTAGE, use],
        [use, ("lose",), close, use, *OUTAGE, use],
        [use, ("go_deaf",), close, ("lose",), use],
    ]


@pytest.mark.parametrize("steps", [*dangers(OWN), *dangers(SYSTEM), *dangers(KEY)])
async def test_a_change_that_was_missed_is_not_missed_for_long(steps: list[tuple[Any, ...]]) -> None:
    await played(steps)


@settings(max_examples=1500, deadline=None)
@given(HISTORIES.map(lambda parts: [step for part in parts for step in part]))
async def test_an_answer_that_allows_is_never_older_than_it_may_be(steps: list[tuple[Any, ...]]) -> None:
    await played(steps)


@pytest.mark.parametrize("steps", [*dangers(OWN)[1:], *dangers(SYSTEM)[1:], [*OUTAGE, ("use", (UNBORN,))]])
async def test_the_model_would_notice(steps: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_self: OwnershipBook, *_arguments: Any, **_keywords: Any) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr(OwnershipBook, "forbidden", never)
    with pytest.raises(AssertionError, match=r"closed|away"):
        await played(steps)
