"""Several accounts behind one upstream: each voice is made, spoken with and deleted with the key that owns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from kyma_proxy.errors import ErrorCode
from kyma_proxy.flow import VoiceAtProvider
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.voices.provider import ProviderError, Recording, Spoken, VoiceLostError

VOICE = "kyma_0123456789abcdef"
GOOD = {"data": {"audio": "494433", "status": 2}, "extra_info": {"usage_characters": 6, "usage_voice_count": 1}}
CALL = "/v1/t2a_v2"
TWO = [
    {"provider_account": "east", "api_key": "sk-east", "weight": 3},
    {"provider_account": "west", "api_key": "sk-west", "group_id": "17"},
    {"provider_account": "old", "api_key": "sk-old", "weight": 0},
]
Open = Callable[..., Awaitable[MiniMaxUpstream]]


@pytest.fixture
async def opened(provider: Any, quick: Any) -> AsyncIterator[Open]:
    made: list[MiniMaxUpstream] = []

    async def start(**fields: Any) -> MiniMaxUpstream:
        values = {"base_url": provider.base_url, "timeouts": quick, "models": {"minimax-speech-hd": "speech-02-hd"}}
        settings = MiniMaxUpstreamSettings.model_validate({**values, **(fields or {"accounts": TWO})})
        upstream = MiniMaxUpstream("minimax", settings, Tasks())
        made.append(upstream)
        await upstream.start()
        return upstream

    yield start
    for upstream in made:
        await upstream.stop()


def keys(provider: Any) -> list[str]:
    """With which key each call was made."""
    return [head.split("Authorization: Bearer ")[1].split("\r\n")[0] for head in provider.heads]


def speech(wire: Any, homes: dict[str, VoiceAtProvider], **fields: Any) -> Any:
    flow = wire.flow("POST", "/v1/audio/speech")
    flow.document = {"model": "minimax-speech-hd", "input": "Hello.", **fields}
    flow.voices_at_provider = homes
    return flow


async def test_a_voice_is_made_and_deleted_with_the_key_of_its_account(opened: Open, provider: Any) -> None:
    upstream = await opened()
    await upstream.voice_accounts["old"].clone_voice(VOICE, Recording(b"ID3", "mp3"))
    await upstream.voice_accounts["west"].delete_voice(VOICE, "clone")
    assert set(keys(provider)[:-1]) == {"sk-old"}
    assert keys(provider)[-1] == "sk-west"
    assert provider.calls[-1][0] == "/v1/delete_voice?GroupId=17"


@pytest.mark.parametrize("account", ["east", "west", "old"])
async def test_a_voice_speaks_with_the_key_that_owns_it_by_the_id_that_it_has_there(
    account: str, opened: Open, provider: Any, wire: Any
) -> None:
    provider.answers[CALL] = GOOD
    upstream = await opened()
    for _ in range(5):
        flow = speech(wire, {VOICE: VoiceAtProvider("minimax", account, "ttv-1")}, voice=VOICE)
        assert (await upstream.send(flow)).status == 200
    assert set(keys(provider)) == {f"sk-{account}"}
    assert {body["voice_setting"]["voice_id"] for body in provider.json_of(CALL)} == {"ttv-1"}


async def test_the_providers_own_voices_speak_with_any_key_by_weight(opened: Open, provider: Any, wire: Any) -> None:
    provider.answers[CALL] = GOOD
    upstream = await opened()
    for _ in range(60):
        await upstream.send(speech(wire, {}, voice="English_Graceful_Lady"))
    counts = Counter(keys(provider))
    assert set(counts) == {"sk-east", "sk-west"}
    assert counts["sk-east"] > counts["sk-west"]


async def test_an_account_whose_minute_is_full_is_passed_over_for_one_that_has_room(
    opened: Open, provider: Any, wire: Any
) -> None:
    provider.answers[CALL] = GOOD
    upstream = await opened(accounts=TWO, rate_limits={"*": 5}, rate_wait_seconds=0.01)
    for _ in range(10):
        await upstream.send(speech(wire, {}, voice="English_Graceful_Lady"))
    assert Counter(keys(provider)) == {"sk-east": 5, "sk-west": 5}


async def test_voices_of_two_accounts_cannot_be_mixed(opened: Open, provider: Any, wire: Any, spoken: Any) -> None:
    homes = {each: VoiceAtProvider("minimax", each, each) for each in ("east", "west")}
    mix = [{"voice_id": each, "weight": 50} for each in homes]
    upstream = await opened()
    error = await spoken.failure(upstream.send(speech(wire, homes, timbre_weights=mix)))
    assert error.code is ErrorCode.INVALID_REQUEST
    assert not provider.calls


@pytest.mark.parametrize("home", [("minimax", "gone"), ("elsewhere", "east")])
async def test_a_voice_of_an_account_without_a_key_here_is_the_operators_to_mend(
    home: tuple[str, str], opened: Open, provider: Any, wire: Any, spoken: Any
) -> None:
    upstream = await opened()
    with capture_logs() as logs:
        error = await spoken.failure(
            upstream.send(speech(wire, {VOICE: VoiceAtProvider(*home, VOICE)}, voice_id=VOICE))
        )
    assert (error.code, error.should_retry) == (ErrorCode.PROVIDER_ERROR, False)
    assert [line["event"] for line in logs] == ["voice_without_account"]
    assert not provider.calls


async def test_with_one_account_a_voice_that_was_adopted_under_another_name_is_spoken_with(
    opened: Open, provider: Any, wire: Any
) -> None:
    provider.answers[CALL] = GOOD
    upstream = await opened(api_key="sk-only")
    flow = speech(wire, {VOICE: VoiceAtProvider("mini", "max", VOICE)}, voice_id=VOICE)
    assert (await upstream.send(flow)).status == 200


async def test_a_line_tells_what_it_cost_and_whether_the_voice_is_lost(opened: Open, provider: Any) -> None:
    provider.answers[CALL] = GOOD
    account = (await opened(api_key="sk-only")).voice_accounts.choose()
    assert await account.speak_a_line(VOICE, "Hello.") == Spoken(6, 1)
    assert provider.json_of(CALL)[0]["voice_setting"] == {"voice_id": VOICE}
    provider.answers[CALL] = {"base_resp": {"status_code": 2054, "status_msg": "voice id not exist"}}
    with pytest.raises(VoiceLostError):
        await account.speak_a_line(VOICE, "Hello.")
    provider.answers[CALL] = {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}
    with pytest.raises(ProviderError) as caught:
        await account.speak_a_line(VOICE, "Hello.")
    assert not isinstance(caught.value, VoiceLostError)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"api_key": "sk-1", "accounts": TWO},
        {"accounts": TWO, "group_id": "17"},
        {"accounts": TWO, "provider_account": "x"},
        {"accounts": [TWO[0], TWO[0]]},
        {"accounts": [TWO[2]]},
    ],
)
def test_keys_that_contradict_each_other_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MiniMaxUpstreamSettings.model_validate({"base_url": "http://127.0.0.1:9", **fields})


async def test_a_new_voice_goes_to_an_account_that_makes_one_at_once(opened: Open, provider: Any) -> None:
    upstream = await opened(accounts=TWO, rate_limits={"voice_clone": 2}, rate_wait_seconds=0.05)
    accounts = upstream.voice_accounts
    for _ in range(2):
        await accounts["east"].clone_voice(VOICE, Recording(b"ID3", "mp3"))
    assert {accounts.choose_for("clone").provider_account for _ in range(50)} == {"west"}
    assert {accounts.choose_for("design").provider_account for _ in range(200)} == {"east", "west"}
