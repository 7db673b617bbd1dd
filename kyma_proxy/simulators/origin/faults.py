"""What can be made to go wrong at the simulated origin, and how it behaves."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kyma_proxy.money import UsdPrice
from kyma_proxy.simulators.faults import BaseFault
from kyma_proxy.simulators.origin.replies import CODES


def _known(code: str) -> str:
    if code not in CODES:
        raise ValueError(f"no such error code; there are {', '.join(CODES)}")
    return code


class Fault(BaseFault):
    """A fault of the origin: what any upstream can do, and ways to spoil the reply that is given.

    `Fault(http_status=502)` is the HTML page of a broken hop. `error_code` is a refusal in the envelope. `headers`
    replace those of the reply that have the same name; a name given twice is sent twice. `trickle_bytes` sends the
    body chunked in pieces of that size, `trickle_seconds` apart; `cut_after_bytes` sends so much of it, then ends
    the connection.
    """

    error_code: Annotated[str, AfterValidator(_known)] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    trickle_bytes: int | None = Field(default=None, ge=1)
    trickle_seconds: float = Field(default=0.0, ge=0, le=60)
    cut_after_bytes: int | None = Field(default=None, ge=0)


class Behaviour(BaseModel):
    """What a caller of the origin finds; the defaults let a newcomer try everything."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    starting_balance_usd: UsdPrice = 100_000_000
    """What a key that was never seen has to spend, written as text: "100.00"."""
    server: str = "kyma-origin"
    """The `Server` header of every reply."""
