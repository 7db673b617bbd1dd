"""Config of `voice_ownership`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kyma_proxy.api import PluginConfig


class VoiceOwnershipConfig(PluginConfig):
    """How large a request may be, what becomes of ids like ours that are not on file, and of all in an outage."""

    max_body_bytes: int = Field(
        default=1024 * 1024,
        gt=0,
        le=16 * 1024 * 1024,
        description="The largest body, in bytes, as sent and as decoded.",
    )
    deny_unlisted_prefix: bool = Field(
        default=False,
        description="Whether an id that begins with reserved_prefix and is not on file is refused as well.",
    )
    reserved_prefix: str = Field(
        default="kyma_",
        min_length=1,
        max_length=64,
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="How the ids of voices made here begin, in lower case.",
    )
    when_database_is_down: Literal["serve_known", "refuse"] = Field(
        default="serve_known",
        description="serve_known: voices seen before go on for database.outage_seconds; refuse: 503 for every request.",
    )
