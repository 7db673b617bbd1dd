"""What the simulated provider says: the `base_resp` envelope, its codes, and the shapes of its objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MESSAGES = {
    1000: "unknown error",
    1001: "timeout",
    1002: "rate limit exceeded(RPM)",
    1004: "login fail: Please carry the API secret key in the 'Authorization' field of the request header",
    1008: "insufficient balance",
    1013: "internal service error",
    1024: "internal error",
    1026: "input new_sensitive",
    1027: "output new_sensitive",
    1033: "system error",
    1039: "rate limit exceeded(TPM)",
    1041: "conn limit",
    1042: "invisible character ratio limit",
    1043: "the asr similarity check failed",
    1044: "clone prompt similarity check failed",
    2013: "invalid params",
    20132: "invalid samples or voice_id",
    2037: "voice duration too short or too long",
    2038: "voice clone user forbidden",
    2039: "voice clone voice id duplicate",
    2042: "you don't have access to this voice_id",
    2045: "rate growth limit",
    2048: "prompt audio too long",
    2049: "invalid api key",
    2054: "voice id not exist",
    2056: "usage limit exceeded",
    2061: "your current token plan not support model",
}
"""The message that goes with a code unless a case says something more exact."""


class RefusalError(Exception):
    """The simulated provider refuses; it says so in `base_resp` under HTTP 200.

    `fields` are further top-level fields that this particular refusal is known to carry.
    """

    def __init__(self, code: int, message: str | None = None, *, fields: Mapping[str, Any] | None = None) -> None:
        self.code = code
        self.message = MESSAGES.get(code, "unknown error") if message is None else message
        self.fields = dict(fields or {})
        super().__init__(f"{code} {self.message}")

    def body(self) -> dict[str, Any]:
        """The whole JSON object of the refusal."""
        return self.fields | {"base_resp": base_resp(self.code, self.message)}


def invalid_params(detail: str) -> RefusalError:
    """2013 with the words that follow `invalid params, `."""
    return RefusalError(2013, f"invalid params, {detail}")


def base_resp(code: int, message: str) -> dict[str, Any]:
    """The envelope's own object; code 0 is success."""
    return {"status_code": code, "status_msg": message}


def success(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A successful reply with these fields."""
    return {**fields, "base_resp": base_resp(0, "success")}
