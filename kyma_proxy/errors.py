"""The one error type of the gateway, the table of everything it may say, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum


class ErrorCode(Enum):
    """Every refusal the gateway itself makes. One row: status, `error.code`, `error.type`, `x-should-retry`, meaning.

    The rows are the contract's (section 4): `x-should-retry` is true only where repeating is safe and useful.
    """

    INVALID_REQUEST = (400, "invalid_request", "invalid_request_error", False, "the request cannot be understood")
    NOT_A_VOICE_CLONE_MODEL = (
        400,
        "not_a_voice_clone_model",
        "invalid_request_error",
        False,
        "`model` does not clone voices",
    )
    NOT_A_VOICE_DESIGN_MODEL = (
        *(400, "not_a_voice_design_model", "invalid_request_error", False),
        "`model` does not design voices",
    )
    DESCRIPTION_TOO_LONG = (
        *(400, "description_too_long", "invalid_request_error", False),
        "`description` has too many characters",
    )
    NOT_A_TTS_MODEL = (400, "not_a_tts_model", "invalid_request_error", False, "`model` does not speak")
    VOICE_REQUIRED = (400, "voice_required", "invalid_request_error", False, "no voice was named")
    BILLING_ERROR = (402, "billing_error", "billing_error", False, "the available balance is below what speech costs")
    INPUT_TOO_LONG = (400, "input_too_long", "invalid_request_error", False, "`input` has too many characters")
    CONTENT_POLICY = (400, "content_policy", "invalid_request_error", False, "the provider refuses this content")
    REFERENCE_TOO_SHORT = (400, "reference_too_short", "invalid_request_error", False, "the recording is too short")
    REFERENCE_TOO_LONG = (400, "reference_too_long", "invalid_request_error", False, "the recording is too long")
    AUDIO_UNREADABLE = (400, "audio_unreadable", "invalid_request_error", False, "the duration cannot be established")
    AUTH_ERROR = (401, "auth_error", "authentication_error", False, "no API key, or one that is not valid")
    INSUFFICIENT_CREDITS = (402, "insufficient_credits", "billing_error", False, "the available balance is too low")
    VOICE_NOT_OWNED = (403, "voice_not_owned", "permission_error", False, "the voice is not this account's to use")
    ORIGIN_NOT_ALLOWED = (403, "origin_not_allowed", "permission_error", False, "pages of that origin may not ask here")
    VOICE_NOT_FOUND = (404, "voice_not_found", "invalid_request_error", False, "the provider has no such voice")
    NOT_FOUND = (404, "not_found", "invalid_request_error", False, "nothing is served at this path")
    METHOD_NOT_ALLOWED = (405, "method_not_allowed", "invalid_request_error", False, "the path has other methods")
    REQUEST_TIMEOUT = (408, "request_timeout", "invalid_request_error", False, "the request arrived too slowly")
    VOICE_TAKEN = (409, "voice_taken", "invalid_request_error", True, "the provider has the voice id already")
    REQUEST_IN_PROGRESS = (
        409,
        "request_in_progress",
        "invalid_request_error",
        True,
        "the same request is still being served; repeat it after `Retry-After` to get its answer",
    )
    URI_TOO_LONG = (414, "uri_too_long", "invalid_request_error", False, "the URL is over its limit")
    TOO_LARGE = (413, "invalid_request", "invalid_request_error", False, "the file or the body is over its limit")
    UNSUPPORTED_FORMAT = (
        415,
        "invalid_request",
        "invalid_request_error",
        False,
        "the file is not MP3, WAV or M4A, or the body's Content-Encoding is not served",
    )
    IDEMPOTENCY_KEY_REUSED = (
        422,
        "idempotency_key_reused",
        "invalid_request_error",
        False,
        "the `Idempotency-Key` belongs to a request with other content",
    )
    RATE_LIMITED = (429, "rate_limited", "rate_limit", True, "too many requests at this moment")
    INTERNAL_ERROR = (500, "internal_error", "server_error", False, "a fault of the gateway")
    OWNERSHIP_WRITE_FAILED = (
        500,
        "ownership_write_failed",
        "server_error",
        True,
        "the voice was made but its owner could not be written; not charged, safe to retry",
    )
    PROVIDER_ERROR = (502, "provider_error", "provider_error", False, "the voice provider failed")
    UPSTREAM_UNREACHABLE = (502, "upstream_unreachable", "provider_error", False, "the upstream could not be reached")
    UNAVAILABLE = (503, "unavailable", "server_error", True, "something the request needs is away or busy")
    UPSTREAM_TIMEOUT = (504, "upstream_timeout", "provider_error", False, "the upstream did not answer in time")

    def __init__(self, status: int, code: str, kind: str, should_retry: bool, meaning: str) -> None:
        self.status = status
        self.code = code
        self.kind = kind
        self.should_retry = should_retry
        self.meaning = meaning


class GatewayError(Exception):
    """A refusal in the gateway's own words: raised anywhere, rendered in one place.

    `message` is for the client and says what to change. `should_retry` overrides the row of the table where the
    contract lets the cause decide (502 of a throttled provider). `headers` are added to the answer. With
    `close_connection` the connection ends with the answer, because the rest of the request cannot be trusted.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        should_retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
        close_connection: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.should_retry = code.should_retry if should_retry is None else should_retry
        self.headers = dict(headers or {})
        self.close_connection = close_connection

    @property
    def in_the_way(self) -> str | None:
        """What stood in the way, in one word for the log; None where code and plugin say it."""
        return None

    def __repr__(self) -> str:
        return f"GatewayError({self.code.status} {self.code.code}: {self.message})"


class NotAdmittedError(GatewayError):
    """Too much is under way already: nobody upstream was asked."""

    @property
    def in_the_way(self) -> str:
        """The limit, in one word for the log."""
        return "account_requests" if self.code is ErrorCode.RATE_LIMITED else "requests"


class BrokenFramingError(GatewayError):
    """A body that is not framed as its head said: where the next request begins is not known."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INVALID_REQUEST, "The body's chunked framing is broken.", close_connection=True)


class OutcomeUnknownError(Exception):
    """The books may or may not hold what was asked, and could not be read in time: nothing may be said.

    The edge closes the connection without an answer (contract section 4, "a commit whose answer was lost").
    """


def error_body(code: ErrorCode, message: str) -> bytes:
    """The JSON envelope `{"error":{"message","type","code"}}` as UTF-8."""
    envelope = {"error": {"message": message, "type": code.kind, "code": code.code}}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
