"""How many requests of one account are under way at once; more wait in line for a while, then are refused.

Kyma's rule is concurrency per user and provider, not a rate (public API, section 7). Each account has a line of its
own, so that whoever asks for much waits behind itself alone.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import ErrorCode, NotAdmittedError
from kyma_proxy.flow import Flow
from kyma_proxy.settings import Settings
from kyma_proxy.shares import Lessor, NoPlaceError, Shares, Sharing
from kyma_proxy.tasks import Tasks

_RETRY_AFTER: Final = {"Retry-After": "1"}


class Admission:
    """The limits of one configuration. Where several processes serve it, `lessor` leases them their places."""

    def __init__(self, settings: Settings, lessor: Lessor | None = None, tasks: Tasks | None = None) -> None:
        server = settings.server

        def shares(limit: int | None, name: str) -> Shares | None:
            if limit is None:
                return None
            waiting_max, seconds = server.max_waiting_per_account, server.max_waiting_seconds
            return Shares(limit, waiting_max, seconds, Sharing(f"{name} ", lessor, tasks or Tasks()))

        self._account = shares(server.max_requests_per_account, "")
        made = {name: shares(each.max_requests_per_account, name) for name, each in settings.upstreams.items()}
        self._upstreams = MappingProxyType({name: each for name, each in made.items() if each is not None})

    def take_back(self, key: str) -> int:
        """Another process needs places of this key; how many idle ones this one gives up."""
        name = key.partition(" ")[0]
        shares = self._upstreams.get(name) if name else self._account
        return 0 if shares is None else shares.take_back(key)

    async def enter(self, flow: Flow, upstream: str) -> Admitted:
        """Wait until this request may go to an upstream. Raises NotAdmittedError; nobody upstream was asked then.

        A request without an account is nobody's to limit.
        """
        admitted = Admitted()
        account = None if flow.identity is None else flow.identity.account_id
        limits = [each for each in (self._account, self._upstreams.get(upstream)) if each is not None]
        if account is None or not limits:
            return admitted
        started = monotonic_seconds()
        try:
            for limit in limits:
                await limit.take(account)
                admitted.taken.append((limit, account))
        except NoPlaceError as error:
            admitted.leave()
            raise _too_many(limit.limit) from error
        except BaseException:
            admitted.leave()
            raise
        finally:
            flow.facts["queued_ms"] = round((monotonic_seconds() - started) * 1000, 1)
        return admitted


class Admitted:
    """Places that a request has taken; leaving again does nothing."""

    def __init__(self) -> None:
        self.taken: list[tuple[Shares, str]] = []

    def __enter__(self) -> Admitted:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the places back."""
        while self.taken:
            shares, key = self.taken.pop()
            shares.give_back(key)


def _too_many(limit: int) -> NotAdmittedError:
    return NotAdmittedError(
        ErrorCode.RATE_LIMITED,
        f"Too many requests of this account are under way; {limit} at once are served. Try again shortly.",
        headers=_RETRY_AFTER,
    )
