"""The whole plugin kit. A plugin imports this module and its own, nothing else of `kyma_proxy`."""

from kyma_proxy.clock import monotonic_seconds, rfc3339, thread_cpu_seconds
from kyma_proxy.codings import is_gzip, require_utf_8, unpack
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.documents import DOCUMENT_VALUES_MAX, parse_document, require_few_values
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
    VoiceAtProvider,
    WholeBody,
    read_whole,
)
from kyma_proxy.ledger.charges import Charge
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.money import MICROS_PER_USD, UsdPrice, format_usd, usd_number
from kyma_proxy.observe.endings import Ending, EndReason
from kyma_proxy.pipeline.asking import AskingProvider
from kyma_proxy.plugin import (
    ANY_SEGMENT,
    WHEREVER_NEEDED,
    BodyUse,
    ConfigProblem,
    Endpoint,
    Inspection,
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
from kyma_proxy.voices.keepalive import LINE, KeepAliveTerms
from kyma_proxy.voices.library import LibraryVoice, UnknownCursorError
from kyma_proxy.voices.minting import Minted, MintOrder, minted_reply
from kyma_proxy.voices.provider import ProviderAccounts, ProviderError, Recording, VoiceDesign, VoiceProvider

__all__ = [
    "ANY_SEGMENT",
    "DOCUMENT_VALUES_MAX",
    "LINE",
    "MICROS_PER_USD",
    "WHEREVER_NEEDED",
    "AskingProvider",
    "Attempt",
    "BodyUse",
    "Charge",
    "ClientLeftError",
    "ConfigProblem",
    "DatabaseUnavailableError",
    "Delivery",
    "EndReason",
    "Ending",
    "Endpoint",
    "ErrorCode",
    "Flow",
    "GatewayError",
    "Identity",
    "Inspection",
    "InsufficientFundsError",
    "KeepAliveTerms",
    "LibraryVoice",
    "MintOrder",
    "Minted",
    "NoBody",
    "Plugin",
    "PluginConfig",
    "Proceed",
    "ProviderAccounts",
    "ProviderError",
    "Recording",
    "Repetition",
    "Reply",
    "ReplyStream",
    "ReplyTunnel",
    "RequestBody",
    "Services",
    "Spool",
    "UnknownCursorError",
    "UpstreamReference",
    "UsdPrice",
    "VoiceAtProvider",
    "VoiceDesign",
    "VoiceProvider",
    "VoiceProviderName",
    "WholeBody",
    "fingerprint_of",
    "format_usd",
    "is_gzip",
    "minted_reply",
    "monotonic_seconds",
    "parse_document",
    "read_repetition",
    "read_whole",
    "require_few_values",
    "require_utf_8",
    "rfc3339",
    "spoken_text",
    "thread_cpu_seconds",
    "unpack",
    "usd_number",
]
