"""A bound on uploads in flight: each may hold its whole file in memory."""

from __future__ import annotations

from types import TracebackType

from kyma_proxy.api import ErrorCode, GatewayError


class UploadSlots:
    """So many uploads at once; one more is refused, because waiting would hold its connection and its client."""

    def __init__(self, slots_max: int) -> None:
        self._free = slots_max

    def __repr__(self) -> str:
        return f"UploadSlots({self._free} free)"

    def take(self) -> UploadSlot:
        """A slot to be released once. Raises GatewayError UNAVAILABLE when all are taken."""
        if self._free == 0:
            raise GatewayError(
                ErrorCode.UNAVAILABLE,
                "Too many recordings are being received or cloned at this moment. Try again shortly.",
                headers={"Retry-After": "1"},
            )
        self._free -= 1
        return UploadSlot(self)

    def give_back(self) -> None:
        """One slot is free again; called by the slot."""
        self._free += 1


class UploadSlot:
    """One of the slots; releasing it again does nothing."""

    def __init__(self, slots: UploadSlots) -> None:
        self._slots: UploadSlots | None = slots

    def __enter__(self) -> UploadSlot:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Give the slot back."""
        if self._slots is not None:
            self._slots.give_back()
            self._slots = None
