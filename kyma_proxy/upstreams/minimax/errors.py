"""MiniMax's error codes: what each means, whose fault it is, and whether anything was done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Fault(StrEnum):
    """Whose fault an error is, which decides who hears of it."""

    CLIENT = "client"
    """The request's content: nothing was done."""
    OPERATOR = "operator"
    """Our key, plan or balance at the provider: nothing was done, and somebody must act."""
    CAPACITY = "capacity"
    """Throttling: nothing was done, and repeating later is safe."""
    UPSTREAM = "upstream"
    """The provider's own: it may have done what was asked."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means. `retryable` is true for throttling only; `outcome_known` when it certainly did nothing."""

    text: str
    fault: Fault

    @property
    def retryable(self) -> bool:
        """Whether the same request may be sent again later without harm and with hope."""
        return self.fault is Fault.CAPACITY

    @property
    def outcome_known(self) -> bool:
        """Whether it is certain that the provider did not do what it was asked."""
        return self.fault is not Fault.UPSTREAM


UNKNOWN_ERROR = 1000
INVALID_PARAMETERS = 2013
INVALID_SAMPLE = 20132
VOICE_ID_TAKEN = 2039
VOICE_ID_UNKNOWN = 2054

CODES: Mapping[int, Meaning] = MappingProxyType(
    {
        UNKNOWN_ERROR: Meaning("unknown error; on a clone also an unreadable sample", Fault.UPSTREAM),
        1001: Meaning("the provider timed out", Fault.UPSTREAM),
        1002: Meaning("too many requests a minute", Fault.CAPACITY),
        1004: Meaning("the key was refused, or does not fit the group", Fault.OPERATOR),
        1008: Meaning("the account's balance at the provider is used up", Fault.OPERATOR),
        1013: Meaning("internal service error", Fault.UPSTREAM),
        1024: Meaning("internal error", Fault.UPSTREAM),
        1026: Meaning("the input was blocked for its content", Fault.CLIENT),
        1027: Meaning("the output was blocked for its content", Fault.CLIENT),
        1033: Meaning("system or database error", Fault.UPSTREAM),
        1039: Meaning("too many tokens a minute", Fault.CAPACITY),
        1041: Meaning("too many connections", Fault.CAPACITY),
        1042: Meaning("too many invisible or illegal characters", Fault.CLIENT),
        1043: Meaning("the sample's words are not those given for validation", Fault.CLIENT),
        1044: Meaning("the prompt's audio and text do not match", Fault.CLIENT),
        INVALID_PARAMETERS: Meaning("invalid parameters; the message names the field", Fault.CLIENT),
        INVALID_SAMPLE: Meaning("invalid sample or voice id", Fault.CLIENT),
        2037: Meaning("the sample is too short or too long", Fault.CLIENT),
        2038: Meaning("the account may not clone voices", Fault.OPERATOR),
        # Our ids are random: one that is taken was taken by an earlier attempt whose answer got lost.
        VOICE_ID_TAKEN: Meaning("the voice id is taken", Fault.UPSTREAM),
        2042: Meaning("the account has no access to the voice", Fault.CLIENT),
        2045: Meaning("the traffic grew too fast", Fault.CAPACITY),
        2048: Meaning("the prompt's audio is too long", Fault.CLIENT),
        2049: Meaning("invalid key, or the key of another region", Fault.OPERATOR),
        VOICE_ID_UNKNOWN: Meaning("there is no such voice", Fault.CLIENT),
        2056: Meaning("the plan's usage is used up", Fault.OPERATOR),
        2061: Meaning("the plan does not include the model", Fault.OPERATOR),
    }
)
"""The codes of the provider's documentation and those only seen in its traffic, such as 2054."""

_UNLISTED = Meaning("a code that is not documented", Fault.UPSTREAM)


def meaning_of(code: int) -> Meaning:
    """What a code means; one that is not known is taken for the provider's fault, with its outcome unknown."""
    return CODES.get(code, _UNLISTED)


def meaning_of_status(status: int) -> Meaning:
    """What an HTTP status other than 2xx means, where an answer carries no code of the provider's.

    Speech and file paths answer 200 for all of their own errors, so these come from the edge or from another surface.
    """
    if status == 429:
        return Meaning("throttled", Fault.CAPACITY)
    if status in (401, 403):
        return Meaning("the key was refused", Fault.OPERATOR)
    if status == 402:
        return Meaning("the account at the provider is out of funds", Fault.OPERATOR)
    if status == 404 or 300 <= status < 400:
        return Meaning("no such path: the base URL is wrong", Fault.OPERATOR)
    return Meaning(f"HTTP {status}", Fault.CLIENT if 400 <= status < 500 else Fault.UPSTREAM)


_VOICE_ID = re.compile(r"voice[ _]?id", re.IGNORECASE)
# A whole word: `voice_setting` is not about the voice.
_VOICE_REFUSED = re.compile(r"\bvoices?\b.*\b(?:not|wrong|exists?|found)\b", re.IGNORECASE)
_FILE_ABSENT = re.compile(r"\bfile[ _]?id\b|\bno such file\b|\bfile\b.*n[o']t\b.*\b(?:exists?|found)\b", re.IGNORECASE)


def names_voice_id(message: str) -> bool:
    """Whether the provider's words on invalid parameters are about the voice id: it spells that in several ways."""
    return _VOICE_ID.search(message) is not None


def refuses_voice(message: str) -> bool:
    """Whether the provider's words on invalid parameters say that there is no such voice, named by its id or not."""
    return names_voice_id(message) or _VOICE_REFUSED.search(message) is not None


def says_file_is_absent(message: str) -> bool:
    """Whether the provider's words on invalid parameters say that there is no such file, named by its id or not.

    An id that it calls wrong is one that it does not have: ours are well-formed.
    """
    return _FILE_ABSENT.search(message) is not None
