"""The whole plugin kit. A plugin imports this module and its own, nothing else of `kyma_proxy`."""

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, Flow, Identity, Reply, ReplyStream, RequestBody, WholeBody
from kyma_proxy.money import UsdPrice, format_usd, usd_number
from kyma_proxy.plugin import (
    WHEREVER_NEEDED,
    BodyUse,
    Endpoint,
    NoBody,
    Plugin,
    PluginConfig,
    Proceed,
    Spool,
    UpstreamReference,
    VoiceProviderName,
)
from kyma_proxy.services import Services
from kyma_proxy.voices.attempts import Attempt, Repetition, fingerprint_of, read_repetition
from kyma_proxy.voices.minting import Minted, MintOrder
from kyma_proxy.voices.provider import ProviderError, Recording, VoiceProvider

__all__ = [
    "WHEREVER_NEEDED",
    "Attempt",
    "BodyUse",
    "ClientLeftError",
    "Endpoint",
    "ErrorCode",
    "Flow",
    "GatewayError",
    "Identity",
    "MintOrder",
    "Minted",
    "NoBody",
    "Plugin",
    "PluginConfig",
    "Proceed",
    "ProviderError",
    "Recording",
    "Repetition",
    "Reply",
    "ReplyStream",
    "RequestBody",
    "Services",
    "Spool",
    "UpstreamReference",
    "UsdPrice",
    "VoiceProvider",
    "VoiceProviderName",
    "WholeBody",
    "fingerprint_of",
    "format_usd",
    "monotonic_seconds",
    "read_repetition",
    "usd_number",
]
