"""What can be made to go wrong, and how the simulated provider behaves where the real one is known to vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FAULTS_MAX = 100
ANY_PATH = "*"


class Fault(BaseModel):
    """One thing that goes wrong with calls to `path`, `times` times (null: always).

    Its parts act in this order, those not set are skipped: the stall, then one of reset, HTTP status, error code.
    `moment` says whether that happens instead of the call's effect (`before`) or once it has taken effect (`after`).
    `set_fields` and `drop_fields` change whatever JSON reply is given, by dotted names: `{"demo_audio": null}`,
    `["file.file_id"]`.
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
    error_code: int | None = None
    error_message: str | None = None
    set_fields: Mapping[str, Any] = Field(default_factory=dict)
    drop_fields: tuple[str, ...] = ()

    def change(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of a JSON reply with the fields set and dropped; a dotted name that leads nowhere changes nothing."""
        changed = dict(body)
        for name, value in self.set_fields.items():
            changed = _with_field(changed, name.split("."), [value])
        for name in self.drop_fields:
            changed = _with_field(changed, name.split("."), [])
        return changed


class Behaviour(BaseModel):
    """Where accounts, regions or documents differ. The defaults are what the documentation promises."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    accept_any_key: bool = False
    """Any non-empty key will do."""
    region_key_mismatch: bool = False
    """Every key is of the other region: 2049, as if it were a bad one."""
    require_prompt_audio: bool = False
    """A clone without `clone_prompt` is 2013, as one subscription key was told."""
    require_digit_in_voice_id: bool = False
    """The older rule of voice ids: letters and digits."""
    epoch_created_time: bool = False
    """`created_time` of delete_voice is an epoch text, as in one documented example, and not a date."""
    clone_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long a clone takes; the voice exists only at the end, also when its caller has gone."""
    calls_per_minute: Mapping[str, int] = Field(default_factory=dict)
    """Path to how many calls pass in a 60 s window; refused ones count too, so insisting does not help."""


class FaultBook:
    """The faults that are still to happen, in the order they were injected."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int | None]] = []

    def __repr__(self) -> str:
        return f"FaultBook({len(self._waiting)} waiting)"

    @property
    def waiting(self) -> list[Fault]:
        """The faults not used up yet, `times` counted down."""
        return [fault.model_copy(update={"times": left}) for fault, left in self._waiting]

    def add(self, fault: Fault) -> None:
        """Let a fault happen from now on. Raises ValueError beyond 100 of them."""
        if len(self._waiting) >= FAULTS_MAX:
            raise ValueError(f"more than {FAULTS_MAX} faults are waiting")
        self._waiting.append((fault, fault.times))

    def take(self, path: str) -> Fault | None:
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


def _with_field(body: Mapping[str, Any], names: list[str], value: list[Any]) -> dict[str, Any]:
    """A copy in which the named field has the one value of the list, or is gone if the list is empty."""
    name, *deeper = names
    copy = dict(body)
    if not deeper and value:
        copy[name] = value[0]
    elif not deeper:
        copy.pop(name, None)
    elif isinstance(copy.get(name), dict):
        copy[name] = _with_field(copy[name], deeper, value)
    return copy
