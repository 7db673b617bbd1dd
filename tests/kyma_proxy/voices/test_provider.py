"""What a provider must be."""

from collections.abc import Sequence

from kyma_proxy.voices.provider import ProviderError, Recording, Spoken, StoredUpload, VoiceDesign, VoiceProvider


class _Provider:
    name = "p"
    provider_account = "a"
    longest_clone_seconds = 1.0
    unused_seconds = None

    async def clone_voice(self, voice_id: str, recording: Recording) -> None:
        return None

    async def design_voice(self, voice_id: str, design: VoiceDesign) -> str:
        return voice_id

    async def speak_a_line(self, voice_id: str, text: str) -> Spoken:
        return Spoken(len(text), 0)

    async def delete_voice(self, voice_id: str, kind: str) -> None:
        return None

    async def list_uploads(self) -> Sequence[StoredUpload]:
        return []

    async def delete_upload(self, file_id: int) -> None:
        return None


def test_what_has_the_methods_is_a_provider_and_nothing_else_is() -> None:
    assert isinstance(_Provider(), VoiceProvider)
    assert not isinstance(object(), VoiceProvider)


def test_an_error_is_final_and_known_unless_it_says_otherwise() -> None:
    error = ProviderError("no")
    assert (error.code, error.should_retry, error.outcome_known) == (None, False, True)
