"""What plugins are lent, without a database or a provider behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import cast

from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Identity, Reply
from kyma_proxy.services import Services
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.minting import Minted, Minting, MintOrder
from kyma_proxy.voices.provider import ProviderError, VoiceProvider


class KeysInMemory:
    """A key directory over a mapping. A key mapped to an exception raises it, as when the database is away."""

    def __init__(self, identities: Mapping[str, Identity | Exception]) -> None:
        self._identities = identities

    async def identify(self, api_key: str) -> Identity | None:
        """The identity behind the key, or None."""
        found = self._identities.get(api_key)
        if isinstance(found, Exception):
            raise found
        return found


class MintingWithoutBooks:
    """Mints as the real one does, but holds and charges nothing; `orders` are what it was asked for."""

    def __init__(self, voice_id: str = "kyma_0123456789abcdef", balance_micros: int = 47_900_000) -> None:
        self._voice_id = voice_id
        self._balance_micros = balance_micros
        self.orders: list[MintOrder] = []

    async def mint(
        self, order: MintOrder, create: Callable[[str], Awaitable[None]], render: Callable[[Minted], Reply]
    ) -> Reply:
        """Have the voice created, then render the reply. Raises GatewayError PROVIDER_ERROR when the provider fails."""
        self.orders.append(order)
        try:
            await create(self._voice_id)
        except ProviderError as error:
            raise GatewayError(ErrorCode.PROVIDER_ERROR, error.message, should_retry=error.should_retry) from error
        return render(Minted(self._voice_id, order.name, order.price_micros, self._balance_micros))


def make_services(
    *,
    keys: KeysInMemory | None = None,
    minting: MintingWithoutBooks | None = None,
    voice_providers: Mapping[str, VoiceProvider] | None = None,
) -> Services:
    """Services for a plugin under test; what is left out knows nobody and makes voices for free."""
    return Services(
        keys=cast(KeyDirectory, keys or KeysInMemory({})),
        minting=cast(Minting, minting or MintingWithoutBooks()),
        voice_providers=MappingProxyType(dict(voice_providers or {})),
        tasks=Tasks(),
    )
