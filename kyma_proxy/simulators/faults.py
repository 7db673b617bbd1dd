"""What can be made to go wrong with any simulated upstream, and the book of what is still to go wrong."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Generic, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

FAULTS_MAX = 100
ANY_PATH = "*"


class BaseFault(BaseModel):
    """One thing that goes wrong with calls to `path`, `times` times (null: always).

    Its parts act in this order, those not set are skipped: the stall, then one of reset and HTTP status. `moment`
    says whether that happens instead of the call's effect (`before`) or once it has taken effect (`after`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = ANY_PATH
    times: int | None = Field(default=1, ge=1)
    moment: Literal["before", "after"] = "before"
    stall_seconds: float = Field(default=0.0, ge=0, le=600)
    reset: bool = False
    http_status: int | None = Field(default=None, ge=200, le=599)
    content_type: str = "text/html"
    content: str = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"


FaultT = TypeVar("FaultT", bound=BaseFault)


class FaultBook(Generic[FaultT]):
    """The faults that are still to happen, in the order they were injected."""

    def __init__(self) -> None:
        self._waiting: list[tuple[FaultT, int | None]] = []

    def __repr__(self) -> str:
        return f"FaultBook({len(self._waiting)} waiting)"

    @property
    def waiting(self) -> list[FaultT]:
        """The faults not used up yet, `times` counted down."""
        return [fault.model_copy(update={"times": left}) for fault, left in self._waiting]

    def add(self, fault: FaultT) -> None:
        """Let a fault happen from now on. Raises ValueError beyond 100 of them."""
        if len(self._waiting) >= FAULTS_MAX:
            raise ValueError(f"more than {FAULTS_MAX} faults are waiting")
        self._waiting.append((fault, fault.times))

    def take(self, path: str) -> FaultT | None:
        """The first fault for this path, counted down; None if there is none."""
        for index, (fault, left) in enumerate(self._waiting):
            if fault.path in (path, ANY_PATH):
                if left is None or left > 1:
                    self._waiting[index] = (fault, None if left is None else left - 1)
                else:
                    del self._waiting[index]
                return fault
        return None

    def clear(self) -> None:
        """Forget every fault."""
        self._waiting.clear()


async def strike(fault: BaseFault, request: web.Request) -> web.Response | None:
    """Stall, then reset or give the fault's own answer; None if it has none and the call goes on."""
    if fault.stall_seconds:
        await asyncio.sleep(fault.stall_seconds)
    if fault.reset:
        reset_connection(request)
        return web.Response()
    if fault.http_status is not None:
        return web.Response(status=fault.http_status, text=fault.content, content_type=fault.content_type)
    return None


def reset_connection(request: web.Request) -> None:
    """End the connection with RST: an abort alone sends a plain FIN."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
