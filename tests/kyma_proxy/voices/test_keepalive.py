"""Voices that would end soon speak once, at the cost of the house, at a bounded rate, whoever looks after them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from kyma_proxy.voices.keepalive import KeepAlive, KeepAliveOutcome, KeepAliveTerms, house_costs
from kyma_proxy.voices.provider import ProviderError, Spoken
from mint_kit import PRICE, Stage, voice_id_of

HOUR = 3600.0
TERMS = KeepAliveTerms(ahead_seconds=24 * HOUR, per_hour=100, line="Hello.")


class Keeper:
    """Keeps alive what a stage has, and what was told of it."""

    def __init__(self, stage: Stage) -> None:
        self.told: list[tuple[KeepAliveOutcome, Spoken | None]] = []
        self._keep_alive = KeepAlive(
            stage.database, {"minimax": stage.accounts}, lambda outcome, spoken: self.told.append((outcome, spoken))
        )

    async def run(self, terms: KeepAliveTerms = TERMS) -> Mapping[KeepAliveOutcome, int]:
        return await self._keep_alive.run("minimax", terms)


async def voice(stage: Stage, hours_left: float, content: str = "recording") -> str:
    """A voice that has never spoken, as it is so many hours before its end."""
    stage.provider.unused_seconds = 168 * HOUR
    voice_id = voice_id_of(await stage.mint(content=content))
    await stage.database.execute(
        "UPDATE voices SET expires_at = now() + make_interval(secs => $2) WHERE voice_id = $1",
        *(voice_id, hours_left * HOUR),
    )
    return voice_id


async def test_a_voice_speaks_once_before_its_end_and_the_house_pays(stage: Stage) -> None:
    voice_id, keeper = await voice(stage, hours_left=23), Keeper(stage)
    await voice(stage, hours_left=25, content="another")
    before = await stage.standing()
    assert await keeper.run() == {"kept": 1, "lost": 0, "failed": 0}
    assert await keeper.run() == {"kept": 0, "lost": 0, "failed": 0}
    assert stage.provider.lines == [(voice_id, "Hello.")]
    assert keeper.told == [("kept", Spoken(6, 1))]
    row = await stage.database.fetchrow("SELECT * FROM voices WHERE voice_id = $1", voice_id)
    assert row["kept_alive_at"] is not None
    assert (row["expires_at"], row["last_used_at"], row["first_used_at"]) == (None, None, None)
    (cost,) = await stage.database.borrow(house_costs)
    assert (cost["kind"], cost["calls"], cost["characters"], cost["voices"]) == ("keep_alive", 1, 6, 1)
    assert await stage.standing() == before == (PRICE, 0), "no account pays for it"
    await stage.require_exact_books()


@pytest.mark.parametrize(
    "change",
    [
        "expires_at = NULL, last_used_at = now()",
        "status = 'revoked'",
        "lost_at = now()",
        "expires_at = now() - interval '2 days'",
        "upstream = 'elsewhere'",
        "provider_account = 'another'",
    ],
)
async def test_who_has_spoken_is_revoked_lost_or_lives_elsewhere_is_left_alone(stage: Stage, change: str) -> None:
    await voice(stage, hours_left=1)
    await stage.database.execute(f"UPDATE voices SET {change}")
    assert sum((await Keeper(stage).run()).values()) == 0
    assert not stage.provider.lines


async def test_a_voice_that_the_provider_has_lost_is_marked_so(stage: Stage) -> None:
    voice_id, keeper = await voice(stage, hours_left=-1), Keeper(stage)
    stage.provider.voices.discard(voice_id)
    assert await keeper.run() == {"kept": 0, "lost": 1, "failed": 0}
    assert await stage.database.fetchval("SELECT lost_at FROM voices WHERE voice_id = $1", voice_id) is not None
    assert not await stage.database.borrow(house_costs)


async def test_a_failure_is_tried_again_after_a_while_and_nothing_is_booked(stage: Stage) -> None:
    voice_id, keeper = await voice(stage, hours_left=1), Keeper(stage)
    stage.provider.speech_fault = ProviderError("busy", should_retry=True)
    assert await keeper.run() == {"kept": 0, "lost": 0, "failed": 1}
    stage.provider.speech_fault = None
    assert sum((await keeper.run()).values()) == 0, "not at once"
    await stage.database.execute("UPDATE voices SET keep_alive_tried_at = now() - interval '11 minutes'")
    assert await keeper.run() == {"kept": 1, "lost": 0, "failed": 0}
    assert stage.provider.lines == [(voice_id, "Hello.")]


async def test_all_processes_together_keep_to_the_rate_and_no_voice_speaks_twice(stage: Stage) -> None:
    for number in range(3):
        await voice(stage, hours_left=number + 1, content=f"recording {number}")
    keepers = [Keeper(stage) for _ in range(4)]
    await asyncio.gather(*(keeper.run(KeepAliveTerms(24 * HOUR, per_hour=2)) for keeper in keepers))
    assert len(stage.provider.lines) == len(set(stage.provider.lines)) == 2


async def test_an_upstream_that_makes_no_voices_is_a_fault(stage: Stage) -> None:
    with pytest.raises(KeyError):
        await KeepAlive(stage.database, {}).run("origin", TERMS)


async def test_following_goes_on_whatever_happens(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kyma_proxy.voices.keepalive.LOOK_SECONDS", 0.01)
    voice_id = await voice(stage, hours_left=1)
    stage.provider.speech_fault = ZeroDivisionError()
    following = asyncio.ensure_future(KeepAlive(stage.database, {"minimax": stage.accounts}).follow("minimax", TERMS))
    async with asyncio.timeout(5):
        while await stage.database.fetchval("SELECT keep_alive_tried_at FROM voices") is None:
            await asyncio.sleep(0.01)
        stage.provider.speech_fault = None
        await stage.database.execute("UPDATE voices SET keep_alive_tried_at = NULL")
        while not stage.provider.lines:
            await asyncio.sleep(0.01)
    following.cancel()
    assert stage.provider.lines == [(voice_id, "Hello.")]
