"""What plugins are lent, without a database or a provider behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType
from typing import cast

from prometheus_client import CollectorRegistry

from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, Identity, Reply, VoiceAtProvider
from kyma_proxy.ledger.charges import Charges
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.observe.plugin_metrics import PluginMetrics
from kyma_proxy.pipeline.admission import Admission
from kyma_proxy.services import Services
from kyma_proxy.settings import Settings
from kyma_proxy.tasks import Tasks
from kyma_proxy.testing.library import KeepAliveInMemory, LibraryInMemory, UsesInMemory
from kyma_proxy.voices.keepalive import KeepAlive
from kyma_proxy.voices.library import VoiceLibrary
from kyma_proxy.voices.minting import Minted, Minting, MintOrder
from kyma_proxy.voices.ownership import MINTED_PREFIX, Judgement, OwnershipBook
from kyma_proxy.voices.provider import ProviderAccounts, ProviderError
from kyma_proxy.voices.uses import VoiceUses


class KeysInMemory:
    """A key directory over a mapping. A key mapped to an exception raises it, as when it was never seen before.

    While `away` is set the database is away: keys identified before go on, every other one is 503.
    """

    def __init__(self, identities: Mapping[str, Identity | Exception]) -> None:
        self.away = False
        self._identities = identities
        self._seen: set[str] = set()

    async def identify(self, api_key: str) -> Identity | None:
        """The identity behind the key, or None. Raises DatabaseUnavailableError while away."""
        if self.away and api_key not in self._seen:
            raise DatabaseUnavailableError
        found = self._identities.get(api_key)
        if isinstance(found, Exception):
            raise found
        if found is not None:
            self._seen.add(api_key)
        return found


class MintingWithoutBooks:
    """Mints as the real one does, but holds and charges nothing; `orders` are what it was asked for."""

    def __init__(self, voice_id: str = "kyma_0123456789abcdef", balance_micros: int = 47_900_000) -> None:
        self._voice_id = voice_id
        self._balance_micros = balance_micros
        self.orders: list[MintOrder] = []

    async def mint(
        self, order: MintOrder, create: Callable[[str], Awaitable[str]], render: Callable[[Minted], Reply]
    ) -> Reply:
        """Have the voice created, then render the reply.

        Raises GatewayError PROVIDER_ERROR when the provider fails, ClientLeftError when nobody waits for the voice.
        """
        if not order.attempt.client_connected():
            raise ClientLeftError("the client left before anything was held")
        self.orders.append(order)
        try:
            await create(self._voice_id)
        except ProviderError as error:
            raise GatewayError(ErrorCode.PROVIDER_ERROR, error.message, should_retry=error.should_retry) from error
        return render(Minted(self._voice_id, order.name, order.price_micros, self._balance_micros))


class ChargesInMemory:
    """Charges against one balance, in micro-dollars; `posted`, `voided` and `open_micros` tell what became of them.

    While `away` is set the database is away.
    """

    def __init__(self, balance_micros: int = 25_000_000) -> None:
        self.away = False
        self.balance_micros = balance_micros
        self.open_micros = 0
        self.posted: list[int] = []
        self.voided: list[int] = []

    def open(self, account_id: str, amount_micros: int, purpose: str) -> ChargeInMemory:
        """A charge of which nothing is held yet."""
        return ChargeInMemory(self, amount_micros)


class ChargeInMemory:
    """One charge; ends once, at once."""

    def __init__(self, charges: ChargesInMemory, amount_micros: int) -> None:
        self._charges = charges
        self._state = "new"
        self.amount_micros = amount_micros

    async def hold(self) -> int:
        """Hold the amount; the balance. Raises InsufficientFundsError, DatabaseUnavailableError."""
        if self._charges.away:
            raise DatabaseUnavailableError
        if self._charges.balance_micros - self._charges.open_micros < self.amount_micros:
            raise InsufficientFundsError
        self._state = "held"
        self._charges.open_micros += self.amount_micros
        return self._charges.balance_micros

    def post(self) -> None:
        """Charge it."""
        if self._end():
            self._charges.balance_micros -= self.amount_micros
            self._charges.posted.append(self.amount_micros)

    def void(self) -> None:
        """Give it back."""
        if self._end():
            self._charges.voided.append(self.amount_micros)

    async def give_back(self, wait_seconds: float) -> None:
        """Void it."""
        self.void()

    def _end(self) -> bool:
        if self._state != "held":
            return False
        self._state = "ended"
        self._charges.open_micros -= self.amount_micros
        return True


class OwnershipInMemory:
    """Who owns which voice, over a mapping of ids to account ids; `asked` are the questions, one set of texts each.

    An id mapped to None is on file but not active, so that nobody may use it. An exception instead of a mapping is
    raised. While `away` is set the database is away, and only what was asked about before is known.
    """

    def __init__(self, owners: Mapping[str, str | None] | Exception) -> None:
        self.away = False
        self.asked: list[frozenset[str]] = []
        self.places: dict[str, VoiceAtProvider] = {}
        self._owners = owners
        self._seen: set[str] = set()

    async def forbidden(
        self,
        account_id: str,
        candidates: Collection[str],
        *,
        listed_only: str | None = None,
        serve_known: bool = False,
    ) -> frozenset[str]:
        """Which candidates the account may not use, by the rules of the real one."""
        self.asked.append(frozenset(candidates))
        if isinstance(self._owners, Exception):
            raise self._owners
        owners = self._owners
        if self.away:
            if not serve_known:
                raise DatabaseUnavailableError
            known = {each for each in candidates if each in self._seen and _is_kept(owners, each, listed_only)}
        else:
            known = set(candidates)
            self._seen |= known
        forbidden = frozenset(
            each
            for each in known
            if (
                owners[each] != account_id
                if each in owners
                else listed_only is not None and each.startswith(listed_only)
            )
        )
        if not forbidden and len(known) < len(set(candidates)):
            raise DatabaseUnavailableError
        return forbidden

    async def judge(
        self,
        account_id: str,
        candidates: Collection[str],
        *,
        listed_only: str | None = None,
        serve_known: bool = False,
    ) -> Judgement:
        """What `forbidden` says, and where the account's voices live: where `places` says, or with the one provider."""
        forbidden = await self.forbidden(account_id, candidates, listed_only=listed_only, serve_known=serve_known)
        owners = {} if isinstance(self._owners, Exception) else self._owners
        own = [each for each in candidates if owners.get(each) == account_id]
        here = {each: VoiceAtProvider("minimax", "default", each) for each in own}
        return Judgement(forbidden, {} if forbidden else here | self.places)


def _is_kept(owners: Mapping[str, str | None], voice_id: str, listed_only: str | None) -> bool:
    """Whether what is on file of an id is known without asking."""
    if voice_id in owners:
        return owners[voice_id] is not None
    return not voice_id.startswith((MINTED_PREFIX, listed_only or MINTED_PREFIX))


def make_services(
    *,
    keys: KeysInMemory | None = None,
    minting: MintingWithoutBooks | None = None,
    ownership: OwnershipInMemory | None = None,
    charges: ChargesInMemory | None = None,
    registry: CollectorRegistry | None = None,
    voice_providers: Mapping[str, ProviderAccounts] | None = None,
) -> Services:
    """Services for a plugin under test; what is left out knows nobody, makes voices for free and has none on file.

    Its counters are in `registry`. Others than these are put in with `dataclasses.replace`.
    """
    return Services(
        keys=cast(KeyDirectory, keys or KeysInMemory({})),
        minting=cast(Minting, minting or MintingWithoutBooks()),
        ownership=cast(OwnershipBook, ownership or OwnershipInMemory({})),
        charges=cast(Charges, charges or ChargesInMemory()),
        metrics=PluginMetrics(registry or CollectorRegistry()),
        voice_providers=MappingProxyType(dict(voice_providers or {})),
        admission=Admission(Settings()),
        tasks=Tasks(),
        library=cast(VoiceLibrary, LibraryInMemory()),
        voice_uses=cast(VoiceUses, UsesInMemory()),
        keep_alive=cast(KeepAlive, KeepAliveInMemory()),
    )
