"""Requests that may be sent again: the client's own key, a retry marked by an SDK, and what makes two the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from multidict import MultiMapping

from kyma_proxy.errors import ErrorCode, GatewayError

IDEMPOTENCY_KEY_HEADER: Final = "Idempotency-Key"
RETRY_COUNT_HEADER: Final = "x-stainless-retry-count"
"""What the official SDKs count their retries in."""
REPLAYED_HEADERS: Final[Mapping[str, str]] = MappingProxyType({"idempotent-replayed": "true"})
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_RETRY_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repetition:
    """What a request says of being sent again."""

    idempotency_key: str | None = None
    is_marked_retry: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request for something that is paid for, told apart from others and found again.

    `fingerprint` (32 bytes, see `fingerprint_of`) is equal for equal content. `client_connected` is asked just before
    money is held: nothing is bought for a client that has left by then.
    """

    endpoint: str
    fingerprint: bytes
    repetition: Repetition = Repetition()
    client_connected: Callable[[], bool] = lambda: True


def read_repetition(headers: MultiMapping[str]) -> Repetition:
    """What the headers say. Raises GatewayError INVALID_REQUEST for a bad key.

    A key is 1 to 255 visible ASCII characters (contract section 4). A retry count that is not a number counts as none:
    it is not the client's own to get right.
    """
    keys = headers.getall(IDEMPOTENCY_KEY_HEADER, [])
    if len(keys) > 1 or (keys and _KEY.fullmatch(keys[0]) is None):
        raise GatewayError(
            ErrorCode.INVALID_REQUEST, f"Send one `{IDEMPOTENCY_KEY_HEADER}` of 1 to 255 visible ASCII characters."
        )
    counts = headers.getall(RETRY_COUNT_HEADER, [])
    marked = any(_RETRY_COUNT.fullmatch(each) and int(each) > 0 for each in counts)
    return Repetition(keys[0] if keys else None, marked)


def fingerprint_of(*parts: str | bytes | None) -> bytes:
    """SHA-256 over the parts, each with its kind and length, so that no two lists of parts look alike."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part or b""
        kind = b"n" if part is None else b"s" if isinstance(part, str) else b"b"
        digest.update(kind + len(content).to_bytes(8, "big") + content)
    return digest.digest()
