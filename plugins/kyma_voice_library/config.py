"""Config of `voice_library`."""

from __future__ import annotations

from pydantic import Field

from kyma_proxy.api import LINE, PluginConfig, VoiceProviderName


class VoiceLibraryConfig(PluginConfig):
    """How much is shown at once, what a name may be, and whether voices are kept alive."""

    upstream: VoiceProviderName = Field(description="The upstream whose voices are kept alive.")
    max_page: int = Field(default=100, gt=0, le=1000, description="The most voices in one answer; the default too.")
    max_name_chars: int = Field(default=64, gt=0, le=1000, description="The longest `name`, in code points.")
    keep_alive: bool = Field(
        default=False,
        description="Whether a voice that has never spoken is made to speak before the provider deletes it.",
    )
    keep_alive_hours: float = Field(default=24, gt=0, description="How long before its end, in hours.")
    keep_alive_per_hour: int = Field(
        default=60, gt=0, le=10_000, description="At most so many in any hour, by all processes together."
    )
    keep_alive_line: str = Field(
        default=LINE, pattern=r"\S", max_length=200, description="What it says; the house pays for it."
    )
