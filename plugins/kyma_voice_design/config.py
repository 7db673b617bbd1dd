"""Config of `voice_design`; the defaults are the public API's documented values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kyma_proxy.api import PluginConfig, UsdPrice, VoiceProviderName


class VoiceDesignConfig(PluginConfig):
    """What a designed voice costs, who makes it, and which descriptions are accepted."""

    upstream: VoiceProviderName = Field(description="The upstream that makes the voices.")
    price_usd: UsdPrice = Field(
        default=4_200_000, gt=0, description='What a voice costs, once, as a decimal string: "4.20".'
    )
    models: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=("minimax-voice-design",),
        min_length=1,
        description="SKUs accepted as `model`; the first is the default of a request that names none.",
    )
    max_body_bytes: int = Field(
        default=64 * 1024, gt=0, le=1024 * 1024, description="The largest body, in bytes, as sent and as decoded."
    )
    max_description_chars: int = Field(
        default=1000, gt=0, le=1800, description="The longest `description`, in code points."
    )
    max_preview_chars: int = Field(default=500, gt=0, le=500, description="The longest `preview_text`, in code points.")
    max_name_chars: int = Field(default=64, gt=0, le=1000, description="The longest `name`, in code points.")
    default_preview_text: str = Field(
        default="Hello, it is good to meet you. This is how I sound when I read a few lines aloud.",
        pattern=r"\S",
        max_length=500,
        description="What the provider says with the new voice when the client sends no `preview_text`.",
    )
