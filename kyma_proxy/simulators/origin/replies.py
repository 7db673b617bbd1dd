"""What the simulated origin says: the error envelope, its codes, and billing in headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from kyma_proxy.money import format_usd
from kyma_proxy.simulators.replies import json_response


@dataclass(frozen=True, slots=True)
class Meaning:
    """Status, `error.type` and the message that goes with a code unless a case says something more exact."""

    status: int
    kind: str
    message: str


_INVALID = "invalid_request_error"
CODES: Mapping[str, Meaning] = {
    "invalid_request": Meaning(400, _INVALID, "The request is not valid."),
    "not_a_tts_model": Meaning(400, _INVALID, "This model does not speak."),
    "voice_required": Meaning(400, _INVALID, "voice_id is required; there is no default voice."),
    "input_too_long": Meaning(400, _INVALID, "input is over 5000 characters."),
    "not_a_music_model": Meaning(400, _INVALID, "This model does not make music."),
    "not_an_sfx_model": Meaning(400, _INVALID, "This model does not make sound effects."),
    "prompt_too_long": Meaning(400, _INVALID, "prompt is too long."),
    "invalid_duration": Meaning(400, _INVALID, "The duration is out of range."),
    "not_a_voice_design_model": Meaning(400, _INVALID, "This model does not design voices."),
    "description_too_long": Meaning(400, _INVALID, "description is over 1000 characters."),
    "auth_error": Meaning(401, "authentication_error", "Missing or invalid API key."),
    "billing_error": Meaning(402, "billing_error", "Your balance is too low."),
    "insufficient_credits": Meaning(402, "billing_error", "Your balance is too low."),
    "voice_not_owned": Meaning(403, "permission_error", "This voice belongs to another user."),
    "not_found": Meaning(404, _INVALID, "There is nothing at this path."),
    "too_large": Meaning(413, _INVALID, "The body is too large."),
    "rate_limited": Meaning(429, "rate_limit", "Too many requests at once."),
    "ownership_write_failed": Meaning(500, "server_error", "The voice was made but its owner could not be written."),
    "provider_error": Meaning(502, "provider_error", "The provider failed."),
}
"""Every refusal of the documented endpoint tables; `too_large` says `invalid_request` under its own status."""


class RefusalError(Exception):
    """The simulated origin refuses; `code` is one of CODES."""

    def __init__(self, code: str, message: str | None = None) -> None:
        self.code = code
        self.message = message or CODES[code].message
        super().__init__(f"{code}: {self.message}")

    def response(self) -> web.Response:
        """The refusal in the envelope; 429 says when to come back."""
        meaning = CODES[self.code]
        said = "invalid_request" if self.code == "too_large" else self.code
        body = {"error": {"message": self.message, "type": meaning.kind, "code": said}}
        response = json_response(body, status=meaning.status)
        if meaning.status == 429:
            response.headers["Retry-After"] = "2"
        return response


def invalid(message: str) -> RefusalError:
    """400 `invalid_request`."""
    return RefusalError("invalid_request", message)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a request cost and what is left, in micro-dollars."""

    model: str
    cost_micros: int
    balance_micros: int

    def headers(self, **extra: object) -> dict[str, str]:
        """The `X-Kyma-*` headers; `chars_billed=5` becomes `X-Kyma-Chars-Billed: 5`."""
        more = {f"X-Kyma-{name.replace('_', '-').title()}": str(value) for name, value in extra.items()}
        return {
            "X-Kyma-Model": self.model,
            **more,
            "X-Kyma-Cost-USD": format_usd(self.cost_micros),
            "X-Kyma-Balance-USD": format_usd(self.balance_micros),
        }
