"""What the gateway needs of whoever makes voices."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from typing_extensions import Buffer

from kyma_proxy.voices.registry import VoiceKind, VoiceOrigin


class ProviderError(Exception):
    """The provider did not do what it was asked.

    `code` is the provider's own (None when there was no answer to read one from), `message` is for the log: clients
    never see it. `should_retry` is true only for throttling and refused connections, where nothing was done.
    `outcome_known` is false when the request may have taken effect (a time-out, a reset after sending).
    """

    def __init__(
        self, message: str, *, code: int | None = None, should_retry: bool = False, outcome_known: bool = True
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.should_retry = should_retry
        self.outcome_known = outcome_known


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that passed the judge. `data` is not copied and must outlive the call it is given to."""

    data: Buffer
    extension: str
    """Of the judged format, without a dot: `mp3`, `wav` or `m4a`. The provider goes by it."""


@dataclass(frozen=True, slots=True)
class VoiceDesign:
    """A voice in words, and what the provider is to say with it for a try."""

    prompt: str
    preview_text: str


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A recording that still lies at the provider, and the voice that it was uploaded for."""

    file_id: int
    voice_id: str


class VoiceLostError(ProviderError):
    """The provider has no voice of this id (any more)."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a line cost at the provider: billed characters, and how many voices were paid for with their first use."""

    characters: int
    voices: int


class VoiceProvider(Protocol):
    """One account at a provider that makes voices."""

    name: str
    """The upstream's name in the configuration."""
    provider_account: str
    """Which account at the provider owns what is made here; never a secret."""
    longest_clone_seconds: float
    """How long after it was asked the provider may still make a voice, whoever stopped waiting for it."""
    unused_seconds: float | None
    """How long it keeps a voice that has not spoken yet; None for ever."""

    async def clone_voice(self, voice_id: str, recording: Recording, caller: str | None = None) -> None:
        """Make `voice_id` speak like the recording.

        `caller` is the account that asks: it has only its share of what the provider takes in a minute. An answer that
        was lost is asked for again under the same id. Raises ProviderError; with `outcome_known` false something may be
        left at the provider, the voice or the uploaded recording.
        """

    async def design_voice(self, voice_id: str, design: VoiceDesign, caller: str | None = None) -> str:
        """Make a voice from its description; returns the id that it has at the provider.

        That is `voice_id`, unless the provider insists on ids of its own. Otherwise as `clone_voice`.
        """

    async def speak_a_line(self, voice_id: str, text: str) -> Spoken:
        """Speak a short line with a voice, by its id at the provider, so that it counts as used.

        Raises VoiceLostError where the provider has no such voice any more, and ProviderError.
        """

    async def delete_voice(self, voice_id: str, kind: VoiceOrigin) -> None:
        """Delete a voice by its id at the provider; one that is not there counts as deleted. Raises ProviderError."""

    async def list_uploads(self) -> Sequence[StoredUpload]:
        """The recordings uploaded for clones that were not deleted afterwards. Raises ProviderError."""

    async def delete_upload(self, file_id: int) -> None:
        """Delete an uploaded recording; deleting one that is not there is success. Raises ProviderError."""


class ProviderAccounts(Mapping[str, VoiceProvider]):
    """The accounts of one upstream at its provider, by name; a new voice goes to one of them by weight."""

    def __init__(
        self,
        weighted: Sequence[tuple[VoiceProvider, int]],
        makes_another: Callable[[VoiceKind, str], bool] = lambda kind, account: True,
    ) -> None:
        """At least one weight is above zero; an account of weight zero only keeps what it has.

        `makes_another` tells whether an account would probably make one more voice of a kind at once.
        """
        self._makes_another = makes_another
        self._accounts = {provider.provider_account: provider for provider, _ in weighted}
        self._weights = [weight for _, weight in weighted]

    def __getitem__(self, name: str) -> VoiceProvider:
        return self._accounts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def choose_for(self, kind: VoiceKind) -> VoiceProvider:
        """The account for a new voice; one that makes it at once is preferred."""
        return self.choose(partial(self._makes_another, kind))

    def choose(self, has_room: Callable[[str], bool] = lambda name: True) -> VoiceProvider:
        """The account for what belongs to none yet; one that `has_room` is preferred."""
        weights = [weight if has_room(name) else 0 for name, weight in zip(self._accounts, self._weights, strict=True)]
        by_weight = weights if any(weights) else self._weights
        (chosen,) = random.choices(list(self._accounts.values()), by_weight)  # noqa: S311 - spreads load
        return chosen


@runtime_checkable
class MakesVoices(Protocol):
    """An upstream that can make voices."""

    voice_accounts: ProviderAccounts
