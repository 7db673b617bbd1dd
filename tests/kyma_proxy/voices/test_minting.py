"""Minting against real PostgreSQL, with a provider and a database that fail on request."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.errors import ErrorCode, GatewayError, OutcomeUnknownError
from kyma_proxy.flow import ClientLeftError, Reply
from kyma_proxy.voices import mints as mints_module
from kyma_proxy.voices import registry
from kyma_proxy.voices.attempts import Repetition
from kyma_proxy.voices.ownership import MINTED_PREFIX
from kyma_proxy.voices.provider import ProviderError, Recording
from mint_kit import PRICE, Stage, voice_id_of


async def test_a_mint_makes_owns_and_charges_a_voice(stage: Stage) -> None:
    reply = await stage.mint()
    fields = json.loads(reply.body)  # type: ignore[arg-type]
    assert (fields["name"], fields["balance"]) == ("Ada", 2 * PRICE)
    assert stage.provider.calls == [f"clone {fields['voice_id']}"]
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]
    await stage.require_exact_books()


async def test_ids_begin_as_ownership_expects(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kyma_proxy.voices.minting.MINTED_PREFIX", f"{MINTED_PREFIX}x_")
    await stage.mint()
    (voice,) = await stage.database.transact(registry.list_voices)
    assert voice.voice_id.startswith(f"{MINTED_PREFIX}x_")


async def test_the_owner_and_the_hold_are_on_file_before_the_provider_hears_the_id(stage: Stage) -> None:
    seen: list[Any] = []
    asked = stage.provider.clone_voice

    async def look(voice_id: str, recording: Recording) -> None:
        seen.extend([await stage.statuses(), await stage.standing()])
        await asked(voice_id, recording)

    stage.provider.clone_voice = look  # type: ignore[method-assign]
    await stage.mint()
    assert seen == [["pending"], (3 * PRICE, PRICE)]


async def test_a_balance_that_is_too_low_calls_nobody(stage: Stage) -> None:
    for _ in range(3):
        await stage.mint()
    calls = len(stage.provider.calls)
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert caught.value.code is ErrorCode.INSUFFICIENT_CREDITS
    assert len(stage.provider.calls) == calls
    assert len(await stage.statuses()) == 3
    await stage.require_exact_books()


@pytest.mark.parametrize("outcome_known", [True, False])
@pytest.mark.parametrize("should_retry", [True, False])
async def test_a_provider_that_fails_costs_nothing(stage: Stage, outcome_known: bool, should_retry: bool) -> None:
    stage.provider.fault = ProviderError("no", code=1002, should_retry=should_retry, outcome_known=outcome_known)
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert (caught.value.code, caught.value.should_retry) == (ErrorCode.PROVIDER_ERROR, should_retry)
    assert await stage.standing() == (3 * PRICE, 0), "the money is back when the answer arrives"
    await stage.require_untouched()
    assert bool(stage.provider.voices) is outcome_known, "a voice that may exist is deleted"


async def test_an_undo_whose_own_answer_is_lost_still_deletes_the_voice(stage: Stage) -> None:
    stage.provider.fault = ProviderError("timeout", outcome_known=False)
    with pytest.raises(GatewayError):
        await stage.mint("ok", "lost")
    await stage.require_untouched()
    assert not stage.provider.voices


async def test_money_is_given_back_whatever_keeps_it_from_being_written(stage: Stage) -> None:
    stage.provider.fault = ProviderError("no")
    with pytest.raises(GatewayError):
        await stage.mint("ok", "crash", "crash")
    await stage.require_untouched()


async def test_a_fault_of_our_own_costs_nothing_and_is_not_hidden(stage: Stage) -> None:
    stage.provider.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await stage.mint()
    await stage.require_untouched()


async def test_a_database_away_at_the_start_spends_nothing(stage: Stage) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await stage.mint("before")
    assert not stage.provider.calls
    await stage.require_untouched()


@pytest.mark.parametrize("fault", ["lost", "unsent"])
async def test_a_beginning_in_doubt_is_undone_before_anything_is_said(stage: Stage, fault: str) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await stage.mint(fault)
    assert not stage.provider.calls
    await stage.require_untouched()


async def test_completing_is_tried_again_while_the_database_is_away(stage: Stage) -> None:
    reply = await stage.mint("ok", "before", "before")
    assert reply.status == 200
    assert await stage.standing() == (2 * PRICE, 0)


async def test_a_database_that_stays_away_means_500_and_no_charge_once_it_is_back(stage: Stage) -> None:
    away = ["before"] * 12
    with pytest.raises(GatewayError) as caught:
        await stage.mint("ok", *away)
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.require_untouched()
    assert not stage.provider.voices


@pytest.mark.parametrize("fault", ["lost", "unsent"])
async def test_a_commit_whose_answer_was_lost_is_read_back(stage: Stage, fault: str) -> None:
    reply = await stage.mint("ok", fault, "before")
    fields = json.loads(reply.body)  # type: ignore[arg-type]
    assert fields["balance"] == 2 * PRICE, "the client is told what the books say, and is charged once"
    assert reply.headers["x-kyma-cost-usd"] == "2.10"
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]
    assert stage.provider.voices == {fields["voice_id"]}
    await stage.require_exact_books()


@pytest.mark.parametrize(
    ("fault", "balance", "status"), [("lost", 2 * PRICE, "active"), ("unsent", 3 * PRICE, "failed")]
)
async def test_a_commit_that_stays_in_doubt_is_answered_with_silence(
    stage: Stage, fault: str, balance: int, status: str
) -> None:
    with pytest.raises(OutcomeUnknownError):
        await stage.mint("ok", fault, *["before"] * 12)
    assert await stage.tasks.drain(10)
    assert await stage.standing() == (balance, 0)
    assert await stage.statuses() == [status]
    assert bool(stage.provider.voices) is (status == "active")
    await stage.require_exact_books()


async def test_a_mint_that_somebody_else_ended_is_not_completed(stage: Stage) -> None:
    asked = stage.provider.clone_voice

    async def end_it(voice_id: str, recording: Recording) -> None:
        await asked(voice_id, recording)
        await stage.database.execute("UPDATE voices SET status = 'failed'")
        await stage.database.execute("UPDATE holds SET state = 'voided', ended_at = now()")
        await stage.database.execute("UPDATE accounts SET held_micros = 0")
        await stage.database.execute("UPDATE mints SET lease_until = NULL")

    stage.provider.clone_voice = end_it  # type: ignore[method-assign]
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.require_untouched()


async def test_parallel_mints_never_overspend(stage: Stage) -> None:
    outcomes = await asyncio.gather(*(stage.mint() for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(each, Reply) for each in outcomes) == 3
    assert await stage.standing() == (0, 0)
    await stage.require_exact_books()


async def test_a_mint_reaches_its_end_when_nobody_waits_for_it(stage: Stage) -> None:
    waiter = asyncio.get_running_loop().create_task(stage.mint())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await stage.tasks.drain(5)
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]


async def test_a_client_that_left_before_the_hold_buys_nothing(stage: Stage) -> None:
    with pytest.raises(ClientLeftError):
        await stage.mint(client_connected=lambda: False)
    assert await stage.statuses() == []
    assert not stage.provider.calls
    await stage.require_untouched()


async def test_a_first_attempt_never_deduplicates(stage: Stage) -> None:
    assert voice_id_of(await stage.mint()) != voice_id_of(await stage.mint())
    assert await stage.standing() == (PRICE, 0)


@pytest.mark.parametrize("repetition", [Repetition("key"), Repetition(None, True), Repetition("key", True)])
async def test_what_was_bought_is_told_again_byte_for_byte_and_not_charged_again(
    stage: Stage, repetition: Repetition
) -> None:
    first = await stage.mint(repetition=Repetition(repetition.idempotency_key))
    again = await stage.mint(repetition=repetition)
    assert (again.status, again.body) == (first.status, first.body)
    assert [*again.headers.items()] == [*first.headers.items(), ("idempotent-replayed", "true")]
    assert len(stage.provider.calls) == 1
    assert await stage.standing() == (2 * PRICE, 0)
    await stage.require_exact_books()


async def test_a_replay_needs_no_balance(stage: Stage) -> None:
    first = await stage.mint(repetition=Repetition("first"))
    for _ in range(2):
        await stage.mint(content="other")
    assert (await stage.mint(repetition=Repetition("first"))).body == first.body
    assert (await stage.mint(repetition=Repetition(None, True))).body == first.body
    assert await stage.standing() == (0, 0)


async def test_a_key_reused_with_other_content_is_refused_and_changes_nothing(stage: Stage) -> None:
    await stage.mint(repetition=Repetition("key"))
    with pytest.raises(GatewayError) as caught:
        await stage.mint(content="other", repetition=Repetition("key"))
    assert caught.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]


async def test_a_failed_attempt_frees_its_key(stage: Stage) -> None:
    stage.provider.fault = ProviderError("no")
    with pytest.raises(GatewayError):
        await stage.mint(repetition=Repetition("key"))
    stage.provider.fault = None
    reply = await stage.mint(content="other", repetition=Repetition("key"))
    assert "idempotent-replayed" not in reply.headers
    assert await stage.standing() == (2 * PRICE, 0)


async def test_a_refusal_for_lack_of_money_frees_its_key(stage: Stage) -> None:
    for _ in range(3):
        await stage.mint()
    with pytest.raises(GatewayError) as caught:
        await stage.mint(repetition=Repetition("key"))
    assert caught.value.code is ErrorCode.INSUFFICIENT_CREDITS
    assert await stage.database.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_beginning_in_doubt_frees_its_key(stage: Stage) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await stage.mint("lost", repetition=Repetition("key"))
    await stage.require_untouched()
    assert (await stage.mint(repetition=Repetition("key"))).status == 200


async def test_a_key_whose_request_runs_is_in_progress_for_others(stage: Stage) -> None:
    refused: list[GatewayError] = []
    asked = stage.provider.clone_voice

    async def repeat_meanwhile(voice_id: str, recording: Recording) -> None:
        with pytest.raises(GatewayError) as caught:
            await stage.mint(repetition=Repetition("key"))
        refused.append(caught.value)
        await asked(voice_id, recording)

    stage.provider.clone_voice = repeat_meanwhile  # type: ignore[method-assign]
    await stage.mint(repetition=Repetition("key"))
    assert [each.code for each in refused] == [ErrorCode.REQUEST_IN_PROGRESS]
    assert int(refused[0].headers["Retry-After"]) > 0
    assert refused[0].should_retry
    assert await stage.standing() == (2 * PRICE, 0)


async def test_fifty_requests_with_one_key_buy_one_voice(stage: Stage) -> None:
    outcomes = await asyncio.gather(
        *(stage.mint(repetition=Repetition("key")) for _ in range(50)), return_exceptions=True
    )
    bought = {voice_id_of(each) for each in outcomes if isinstance(each, Reply)}
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert len(bought) == 1
    assert all(isinstance(each, GatewayError) and each.code is ErrorCode.REQUEST_IN_PROGRESS for each in refused)
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]
    await stage.require_exact_books()


async def test_a_process_that_asks_long_after_everything_was_cleaned_up_cleans_up_again(stage: Stage) -> None:
    asked = stage.provider.clone_voice

    async def outlive_everything(voice_id: str, recording: Recording) -> None:
        await stage.database.execute("UPDATE mints SET lease_until = clock_timestamp()")
        assert await stage.reconciler.run() == 1
        assert await stage.database.fetchval("SELECT count(*) FROM provider_cleanups") == 0
        await asked(voice_id, recording)

    stage.provider.clone_voice = outlive_everything  # type: ignore[method-assign]
    with pytest.raises(GatewayError):
        await stage.mint()
    await stage.require_untouched()
    assert stage.provider.voices == set()


async def test_a_lease_that_ran_out_is_never_completed(stage: Stage) -> None:
    """Nobody has reconciled it yet, and still it is too late: the reconciler may be deleting the voice."""
    asked = stage.provider.clone_voice

    async def outlive_the_lease(voice_id: str, recording: Recording) -> None:
        await asked(voice_id, recording)
        await stage.database.execute("UPDATE mints SET lease_until = clock_timestamp()")

    stage.provider.clone_voice = outlive_the_lease  # type: ignore[method-assign]
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.require_untouched()
    assert not stage.provider.voices


async def test_a_mint_that_the_reconciler_ended_stays_ended(stage: Stage) -> None:
    asked = stage.provider.clone_voice

    async def be_reconciled(voice_id: str, recording: Recording) -> None:
        await asked(voice_id, recording)
        await stage.database.execute("UPDATE mints SET lease_until = clock_timestamp()")
        assert await stage.reconciler.run() == 1

    stage.provider.clone_voice = be_reconciled  # type: ignore[method-assign]
    with pytest.raises(GatewayError) as caught:
        await stage.mint(repetition=Repetition("key"))
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.require_untouched()
    assert not stage.provider.voices


async def provider_ids(stage: Stage) -> dict[str, str | None]:
    rows = await stage.database.fetch("SELECT voice_id, provider_voice_id FROM voices")
    return {row["voice_id"]: row["provider_voice_id"] for row in rows}


async def test_what_the_provider_calls_a_voice_is_on_file_before_the_mint_completes(stage: Stage) -> None:
    seen: list[tuple[str | None, str]] = []
    note = mints_module.complete

    async def complete(connection: Any, mint: Any) -> bool:
        row = await connection.fetchrow(
            "SELECT provider_voice_id, status FROM voices WHERE voice_id = $1", mint.voice_id
        )
        seen.append((row["provider_voice_id"], row["status"]))
        return await note(connection, mint)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mints_module, "complete", complete)
        reply = await stage.mint(own_id="ttv-voice-1")
    assert reply.status == 200
    assert seen == [("ttv-voice-1", "pending")]
    assert list((await provider_ids(stage)).values()) == ["ttv-voice-1"]
    await stage.require_exact_books()


@pytest.mark.parametrize("script", [["ok", "before"], ["ok", "lost"], ["ok", "unsent"], ["ok", "ok", "before", "lost"]])
async def test_the_providers_id_is_written_whatever_happens_to_its_note(stage: Stage, script: list[str]) -> None:
    assert (await stage.mint(*script, own_id="ttv-voice-1")).status == 200
    assert list((await provider_ids(stage)).values()) == ["ttv-voice-1"]
    await stage.require_exact_books()


@pytest.mark.parametrize("script", [["ok", "before"], ["ok", "ok"]])
async def test_a_designed_voice_that_was_not_completed_is_deleted_by_the_providers_id(
    stage: Stage, script: list[str]
) -> None:
    with pytest.raises(GatewayError) as caught:
        await stage.mint(*script, *["crash"], own_id="ttv-voice-1")
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.tasks.drain(5)
    assert stage.provider.voices == set()
    assert "delete ttv-voice-1" in stage.provider.calls
    await stage.require_exact_books()


async def test_an_id_that_is_another_voices_is_neither_noted_nor_deleted(stage: Stage) -> None:
    await stage.mint(own_id="ttv-voice-1")
    with pytest.raises(GatewayError) as caught:
        await stage.mint(content="another", own_id="ttv-voice-1")
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    await stage.tasks.drain(5)
    assert "delete ttv-voice-1" not in stage.provider.calls
    await stage.require_exact_books()


async def test_what_a_provider_calls_a_voice_never_changes(stage: Stage) -> None:
    await stage.mint(own_id="ttv-voice-1")
    for change in ("'ttv-voice-2'", "NULL"):
        with pytest.raises(asyncpg.PostgresError, match="keeps its ids"):
            await stage.database.execute(f"UPDATE voices SET provider_voice_id = {change}")
