"""Leases: renewed while held, by the database's clock; never revived."""

from __future__ import annotations

import pytest

from kyma_proxy.errors import GatewayError
from kyma_proxy.voices.leases import LEASE_SECONDS, Leases
from kyma_proxy.voices.provider import Recording
from mint_kit import PRICE, Stage

LEFT = "SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM mints"


async def _while_it_runs(stage: Stage, look: list[str]) -> list[float | None]:
    """Run SQL while a mint runs and its lease is renewed; what is left of the lease after each statement."""
    seen: list[float | None] = []
    asked = stage.provider.clone_voice

    async def clone(voice_id: str, recording: Recording) -> None:
        for statement in look:
            await stage.database.execute(statement)
            await stage.leases.renew()
            seen.append(await stage.database.fetchval(LEFT))
        await asked(voice_id, recording)

    stage.provider.clone_voice = clone  # type: ignore[method-assign]
    await stage.tasks.finish(stage.mint(), "mint")
    return seen


async def test_a_running_mint_is_leased_anew_each_time(stage: Stage) -> None:
    nearly_over = "UPDATE mints SET lease_until = clock_timestamp() + interval '1 second'"
    seen = await _while_it_runs(stage, [nearly_over, nearly_over])
    assert all(left is not None and LEASE_SECONDS - 1 < left <= LEASE_SECONDS for left in seen)
    assert await stage.database.fetchval("SELECT lease_until FROM mints") is None, "an ended mint has none"
    assert await stage.standing() == (2 * PRICE, 0)


async def test_a_lease_that_ran_out_is_not_revived(stage: Stage) -> None:
    with pytest.raises(GatewayError, match="could not be written"):
        await _while_it_runs(stage, ["UPDATE mints SET lease_until = clock_timestamp()"])
    await stage.require_untouched()


async def test_nothing_held_asks_nobody(stage: Stage) -> None:
    await stage.database.stop()
    await stage.leases.renew()


def test_a_lease_is_renewed_three_times_before_it_ends(stage: Stage) -> None:
    leases = Leases(stage.database, 0.9)
    assert leases.renewal_seconds == 0.9 / 3
    with leases.held("kyma_1"):
        assert repr(leases) == "Leases(1 held)"
    assert repr(leases) == "Leases(0 held)"
