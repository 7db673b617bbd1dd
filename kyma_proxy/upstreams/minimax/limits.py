"""What an account at the provider may be asked in a minute: kept to here, since asking on would use up its next minute.

Each of our own accounts has a share of that, so that whoever asks for much does not use up everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from kyma_proxy.errors import ErrorCode, NotAdmittedError
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.voices.registry import VoiceKind
from kyma_proxy.windows import CallWindow, CallWindows, WindowFullError

CLONE: Final = "voice_clone"
DESIGN: Final = "voice_design"
"""What else than models has a limit."""
LIMIT_OF: Final[Mapping[VoiceKind, str]] = {"clone": CLONE, "design": DESIGN}
_OTHERS: Final = "*"


class ProviderRateError(NotAdmittedError):
    """One more call would be over what the provider takes in a minute, or over one account's share of it."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            ErrorCode.RATE_LIMITED,
            f"The speech provider takes no more in this minute. Try again in {retry_after_seconds} seconds.",
            headers={"Retry-After": str(retry_after_seconds)},
        )

    @property
    def in_the_way(self) -> str:
        """The limit, in one word for the log."""
        return "provider_rate"


class RateLimits:
    """The limits of one upstream."""

    def __init__(self, upstream: str, settings: MiniMaxUpstreamSettings, windows: CallWindows) -> None:
        self._upstream = upstream
        self._limits = settings.rate_limits
        self._share = settings.rate_share_per_account
        self._wait_seconds = settings.rate_wait_seconds
        self._windows = windows

    def __repr__(self) -> str:
        return f"RateLimits({self._upstream!r}, {dict(self._limits)})"

    def has_room(self, what: str, provider_account: str) -> bool:
        """Whether a call could probably be made at once, as far as the account at the provider goes."""
        limit = self._limits.get(what, self._limits.get(_OTHERS))
        return limit is None or self._window(what, limit).has_room(provider_account)

    async def admit(self, what: str, provider_account: str, account_id: str | None = None) -> None:
        """Wait until a call may be made: of a model (the provider's name), CLONE or DESIGN, for one of our accounts.

        Raises NotAdmittedError RATE_LIMITED with `Retry-After`; the provider was not asked then.
        """
        limit = self._limits.get(what, self._limits.get(_OTHERS))
        if limit is None:
            return
        entered: list[Callable[[], None]] = []
        begun: list[Callable[[], None]] = []
        try:
            for window, key in self._needed(what, limit, provider_account, account_id):
                await window.enter(key)
                entered.append(lambda window=window, key=key: window.leave(key))  # type: ignore[misc]
                begun.append(lambda window=window, key=key: window.begin(key))  # type: ignore[misc]
        except WindowFullError as error:
            for leave in entered:
                leave()
            raise ProviderRateError(error.retry_after_seconds) from error
        except BaseException:
            for leave in entered:
                leave()
            raise
        for begin in begun:
            begin()

    def _needed(
        self, what: str, limit: int, provider_account: str, account_id: str | None
    ) -> list[tuple[CallWindow, str]]:
        """One's own share first: who has used it up must not stand in everybody's line."""
        needed = [(self._window(what, limit), provider_account)]
        if account_id is not None and self._share < 1:
            share = max(1, math.floor(limit * self._share))
            own = self._window(f"{what} share", share)
            needed.insert(0, (own, f"{provider_account} {account_id}"))
        return needed

    def _window(self, what: str, limit: int) -> CallWindow:
        return self._windows.window(f"{self._upstream} {what}", limit, self._wait_seconds)
