"""What can be made to go wrong, and how the simulated provider behaves where the real one is known to vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kyma_proxy.simulators.faults import BaseFault


class Fault(BaseFault):
    """A fault of the provider: what any upstream can do, and if it does not answer for itself, an `error_code`.

    `set_fields` and `drop_fields` change whatever JSON reply is given, by dotted names: `{"demo_audio": null}`,
    `["file.file_id"]`.
    """

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
