"""The whole plugin kit. A plugin imports this module and its own, nothing else of `kyma_proxy`."""

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import (
    ClientLeftError,
    Delivery,
    Flow,
    Identity,
    Reply,
    ReplyStream,
    ReplyTunnel,
    RequestBody,
    WholeBody,
)
from kyma_proxy.ledger.charges import Charge
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.money import MICROS_PER_USD, UsdPrice, format_usd, usd_number
from kyma_proxy.observe.endings import Ending, EndReason
from kyma_proxy.plugin import (
    WHEREVER_NEEDED,
    BodyUse,
    ConfigProblem,
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
from kyma_proxy.speech import spoken_text
from kyma_proxy.voices.attempts import Attempt, Repetition, fingerprint_of, read_repetition
from kyma_proxy.voices.minting import Minted, MintOrder
from kyma_proxy.voices.provider import ProviderError, Recording, VoiceProvider

__all__ = [
    "MICROS_PER_USD",
    "WHEREVER_NEEDED",
    "Attempt",
    "BodyUse",
    "Charge",
    "ClientLeftError",
    "ConfigProblem",
    "Delivery",
    "EndReason",
    "Ending",
    "Endpoint",
    "ErrorCode",
    "Flow",
    "GatewayError",
    "Identity",
    "InsufficientFundsError",
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
    "ReplyTunnel",
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
    "spoken_text",
    "usd_number",
]
