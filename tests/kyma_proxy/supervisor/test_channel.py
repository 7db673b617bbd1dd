"""Questions and answers over a pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from kyma_proxy.supervisor.channel import Answers, Channel, ChannelClosedError
from kyma_proxy.tasks import Tasks


async def pair(ours: Answers, theirs: Answers) -> tuple[Channel, Channel, Tasks]:
    one, other = socket.socketpair()
    tasks = Tasks()
    return await Channel.open(one, ours, tasks), await Channel.open(other, theirs, tasks), tasks


async def test_both_sides_ask_and_answers_find_their_questions() -> None:
    slow = asyncio.Event()

    async def wait(_about: Any) -> str:
        await slow.wait()
        return "slow"

    async def quick(_about: Any) -> dict[str, Any]:
        slow.set()
        return {"quick": [1, None, "ä"]}

    ours, theirs, tasks = await pair({"name": quick}, {"wait": wait, "quick": quick})
    assert await asyncio.gather(ours.ask("wait", 5), ours.ask("quick", 5)) == ["slow", {"quick": [1, None, "ä"]}]
    assert await theirs.ask("name", 5) == {"quick": [1, None, "ä"]}
    await tasks.close()


async def test_what_fails_or_is_not_known_or_takes_too_long_is_told() -> None:
    async def fail(_about: Any) -> None:
        raise ValueError("no such thing")

    async def hang(_about: Any) -> None:
        await asyncio.Event().wait()

    ours, _, tasks = await pair({}, {"fail": fail, "hang": hang})
    with pytest.raises(ChannelClosedError, match="no such thing"):
        await ours.ask("fail", 5)
    with pytest.raises(ChannelClosedError, match="KeyError"):
        await ours.ask("what", 5)
    with pytest.raises(ChannelClosedError, match="no answer"):
        await ours.ask("hang", 0.01)
    await tasks.close()


async def test_the_end_of_the_other_side_ends_every_question() -> None:
    async def hang(_about: Any) -> None:
        await asyncio.Event().wait()

    ours, theirs, tasks = await pair({}, {"hang": hang})
    asking = asyncio.ensure_future(ours.ask("hang", 5))
    await asyncio.sleep(0.01)
    theirs.close()
    with pytest.raises(ChannelClosedError):
        await asking
    async with asyncio.timeout(5):
        await ours.closed.wait()
    with pytest.raises(ChannelClosedError):
        await ours.ask("hang", 5)
    await tasks.close()


async def test_a_question_may_be_about_something() -> None:
    async def double(about: Any) -> Any:
        return about * 2

    ours, _, tasks = await pair({}, {"double": double})
    assert await ours.ask("double", 5, 21) == 42
    assert await ours.ask("double", 5, "ä") == "ää"
    await tasks.close()
