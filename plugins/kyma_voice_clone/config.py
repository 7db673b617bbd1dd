"""Config of `voice_clone`; the defaults are the public API's documented values."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from kyma_proxy.api import PluginConfig, UsdPrice, VoiceProviderName


class VoiceCloneConfig(PluginConfig):
    """What a clone costs, who makes it, and which recordings are accepted."""

    upstream: VoiceProviderName = Field(description="The upstream that makes the voices.")
    price_usd: UsdPrice = Field(
        default=2_100_000, gt=0, description='What a voice costs, once, as a decimal string: "2.10".'
    )
    models: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=("minimax-voice-clone",),
        min_length=1,
        description="SKUs accepted as `model`; the first is the default of a request that names none.",
    )
    max_file_bytes: int = Field(
        default=10 * 1024 * 1024, gt=0, le=256 * 1024 * 1024, description="The largest recording, in bytes."
    )
    min_seconds: float = Field(default=10, ge=0, description="The shortest recording, in seconds; itself accepted.")
    max_seconds: float = Field(default=300, gt=0, description="The longest recording, in seconds; itself accepted.")
    max_name_chars: int = Field(default=64, gt=0, le=1000, description="The longest `name`, in code points.")
    max_uploads_in_flight: int = Field(
        default=32,
        gt=0,
        description="Uploads held at once, from the first byte until the voice is made; one more is 503.",
    )

    @model_validator(mode="after")
    def _limits_do_not_cross(self) -> Self:
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds is above max_seconds: no recording could pass")
        return self
