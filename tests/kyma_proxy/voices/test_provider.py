"""What a provider must be."""

from collections import Counter
from collections.abc import Sequence

from kyma_proxy.voices.provider import (
    MakesVoices,
    ProviderAccounts,
    ProviderError,
    Recording,
    Spoken,
    StoredUpload,
    VoiceDesign,
    VoiceProvider,
)


class _Provider:
    name = "p"
    provider_account = "a"
    longest_clone_seconds = 1.0
    unused_seconds = None

    async def clone_voice(self, voice_id: str, recording: Recording, caller: str | None = None) -> None:
        return None

    async def design_voice(self, voice_id: str, design: VoiceDesign, caller: str | None = None) -> str:
        return voice_id

    async def speak_a_line(self, voice_id: str, text: str) -> Spoken:
        return Spoken(len(text), 0)

    async def delete_voice(self, voice_id: str, kind: str) -> None:
        return None

    async def list_uploads(self) -> Sequence[StoredUpload]:
        return []

    async def delete_upload(self, file_id: int) -> None:
        return None


class _Upstream:
    def __init__(self, accounts: ProviderAccounts) -> None:
        self.voice_accounts = accounts


def _account(name: str) -> VoiceProvider:
    provider = _Provider()
    provider.provider_account = name
    return provider


def test_what_has_accounts_makes_voices_and_nothing_else_does() -> None:
    assert isinstance(_Upstream(ProviderAccounts([(_Provider(), 1)])), MakesVoices)
    assert not isinstance(object(), MakesVoices)


def test_new_voices_go_to_accounts_by_weight_and_old_ones_are_found_by_name() -> None:
    accounts = ProviderAccounts([(_account("a"), 3), (_account("b"), 1), (_account("old"), 0)])
    chosen = Counter(accounts.choose().provider_account for _ in range(4000))
    assert set(chosen) == {"a", "b"}
    assert 2.4 < chosen["a"] / chosen["b"] < 3.8
    assert {accounts.choose(lambda name: name == "b").provider_account for _ in range(50)} == {"b"}
    assert {accounts.choose(lambda name: False).provider_account for _ in range(200)} == {"a", "b"}
    assert accounts["old"].provider_account == "old"
    assert list(accounts) == ["a", "b", "old"]
    assert accounts.get("gone") is None
    assert len(accounts) == 3


def test_an_error_is_final_and_known_unless_it_says_otherwise() -> None:
    error = ProviderError("no")
    assert (error.code, error.should_retry, error.outcome_known) == (None, False, True)
