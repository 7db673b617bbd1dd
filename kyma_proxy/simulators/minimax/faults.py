"""What can be made to go wrong, and how the simulated provider behaves where the real one is known to vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kyma_proxy.simulators.faults import BaseFault


class Fault(BaseFault):
    """A fault of the provider: what any upstream can do, and if it does not answer for itself, an `error_code`.

    `set_fields` and `drop_fields` change whatever JSON reply is given, by dotted names: `{"demo_audio": null}`,
    `["file.file_id"]`. The fields below `drop_fields` spoil speech; most of them only a stream.
    """

    error_code: int | None = None
    error_message: str | None = None
    set_fields: Mapping[str, Any] = Field(default_factory=dict)
    drop_fields: tuple[str, ...] = ()
    error_as: Literal["json", "sse", "closing"] = "json"
    """How a stream learns of `error_code`: as JSON instead of a stream, as an event, or in its closing event."""
    error_after_chunks: int | None = Field(default=None, ge=0)
    """How many good events come before the one with the error, which is then the last: none if it is not given."""
    placeholder_audio: bool = False
    """A reply or an event with an error carries audio all the same."""
    ignore_exclusion: bool = False
    """The closing event repeats the whole audio although the caller asked for it not to."""
    truncate_at: int | None = Field(default=None, ge=0)
    """After so many events the stream ends cleanly, without its closing one."""
    reset_at: int | None = Field(default=None, ge=0)
    """After so many events the connection is reset."""
    slow_first_byte_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long it takes until the first event, or the reply where nothing is streamed; a leaving caller is noticed."""
    chunk_stall_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long it takes from each event to the next; a leaving caller is noticed."""
    split_bytes: int | None = Field(default=None, ge=1)
    """A stream is written in pieces of this size, wherever that cuts it."""
    null_data: bool = False
    """`data` is null in a whole reply; a stream has such events among the good ones."""
    bad_hex: Literal["odd", "tail"] | None = None
    """Audio is broken hex: a digit short, or with a tail that is no hex; in a stream, that of its second event."""
    url_audio: bool = False
    """A whole reply has a link in the audio's place although hex was asked for."""
    bare_chunks: bool = False
    """The events of a stream have no `base_resp` before the closing one."""

    @property
    def breaks_stream(self) -> bool:
        """Whether `error_code` shows up inside a stream and not instead of one."""
        return self.error_as != "json" or self.error_after_chunks is not None

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
    design_ids: Literal["asked", "own"] = "asked"
    """A designed voice gets the id that was asked for, or always one of the provider's own."""
    clone_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long a clone takes; the voice exists only at the end, also when its caller has gone."""
    inaccessible_voice_ids: Sequence[str] = ()
    """Ids that exist but that this account may not speak with: 2042."""
    lenient_names: bool = False
    """Field names of speech count whatever their case, and voices at the top level too, as some decoders allow."""
    stream_chunk_bytes: int = Field(default=6151, ge=1, le=16 * 1024 * 1024)
    """How much audio is in an event of a stream; the default cuts frames and samples in the middle."""
    stream_chunk_seconds: float = Field(default=0.0, ge=0, le=60)
    """How long it takes to make each further event of a stream."""
    socket_events_unnamed: bool = False
    """The pieces of speech over a WebSocket have no `event`, as in a documented example."""
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
