"""Every text of a request that some upstream could take for a voice id. Whether it is one, the books say.

Keys do not matter: aliases, envelopes and overrides differ from reader to reader, so every text counts, except the one
that is to be spoken.
"""

from __future__ import annotations

import json
import re
import string
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus

from kyma_proxy.api import DOCUMENT_VALUES_MAX, ErrorCode, GatewayError, require_few_values

CANDIDATES_MAX = 2000
CANDIDATE_CHARS_MAX = 256
"""No id is longer."""
NESTING_MAX = 8
"""Documents inside strings of documents."""

_PROSE = ("input", "text")
_DECODED_CHARS_MAX = 4096
"""A text longer than this is no spelling of an id, however often it is escaped."""
_UNPRINTABLE = "".join(chr(code) for code in (*range(0x3001), 0xFEFF) if not chr(code).isprintable())
_PADDING = re.compile(f"[{re.escape(string.whitespace + _UNPRINTABLE)}]*")
_LIKE_A_DOCUMENT = ("{", "[", '"')
_DIVIDERS = (re.compile('"'), re.compile("'"), re.compile(r"[\[\]{},:\n]"))
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|([0-7]{1,3})|(.))", re.DOTALL
)
_UNQUOTING_ROUNDS = 2
_REMEMBERED_CHARS_MAX, _REMEMBERED_MAX = 64, 2048
_DISGUISED_CHARS_MAX = 32
"""Visible characters behind the reserved prefix; no id made here has as many."""


def voice_candidates(document: Mapping[str, Any], texts: Iterator[str], reserved_prefix: str) -> frozenset[str]:
    """What could be a voice id in a document and in other texts of its request.

    These are keys and strings at any depth, also those of documents inside strings; what stands around an id
    is taken off, and whatever begins with `reserved_prefix` is found within longer texts too. `input` and `text` of the
    document itself are speech. Raises GatewayError INVALID_REQUEST for more than 2,000, or too deep a nesting.
    """
    collector = _Collector(reserved_prefix)
    for key, value in document.items():
        collector.add_text(key)
        if not (key in _PROSE and isinstance(value, str)):
            collector.add_all(value)
    for text in texts:
        collector.add_text(text)
    return frozenset(collector.found)


def texts_of_target(raw_path: str, raw_query: str | None) -> Iterator[str]:
    """The texts in a request target: its query, and parameters behind a `;` in its path."""
    if raw_query:
        yield from texts_of_form(raw_query)
    if ";" in raw_path:
        for segment in raw_path.split("/"):
            yield from texts_of_form(segment.partition(";")[2])


def texts_of_form(encoded: str) -> Iterator[str]:
    """Names and values of `name=value` pairs divided by `&` or `;`, as they are and decoded in either way."""
    for pair in dict.fromkeys(re.split("[&;]", encoded)):
        name, _, value = pair.partition("=")
        for part in dict.fromkeys((pair, name, value)):
            yield from dict.fromkeys((part, unquote(part), unquote_plus(part)))


class _Collector:
    def __init__(self, reserved_prefix: str) -> None:
        self.found: set[str] = set()
        self._seen: set[tuple[str, bool]] = set()
        self._reserved_prefix = reserved_prefix
        self._reserved = _ids_with(reserved_prefix)

    def add_all(self, value: Any, nesting: int = 0) -> None:
        """Every text in a value of a document."""
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                self.add_text(each, nesting)
            elif isinstance(each, dict):
                waiting.extend(each)
                waiting.extend(each.values())
            elif isinstance(each, list):
                waiting.extend(each)
            elif isinstance(each, bool):
                continue
            elif isinstance(each, int) or (isinstance(each, float) and each.is_integer()):
                # An id of digits alone, written as a number.
                self._add(str(int(each)))

    def add_text(self, text: str, nesting: int = 0, *, in_form: bool = False) -> None:
        """A text, what a forgiving reader could make of it, and what lies inside it."""
        if len(text) <= _REMEMBERED_CHARS_MAX and not nesting and not in_form:
            for each in _candidates_in(text, self._reserved_prefix):
                self._add(each)
        else:
            self.read_text(text, nesting, in_form=in_form)

    def read_text(self, text: str, nesting: int = 0, *, in_form: bool = False) -> None:
        """The same, whether or not the text was read before."""
        # A text seen as a part of a form was not read as a form itself.
        if (text, in_form) in self._seen:
            return
        self._seen.add((text, in_form))
        self._add(text)
        bare = _bare(text)
        self._add(bare)
        for _ in range(_UNQUOTING_ROUNDS):
            # A long text is no id, but may be a whole document.
            if bare.startswith("%") or ("%" in bare and len(bare) <= _DECODED_CHARS_MAX):
                bare = _bare(unquote(bare))
                self._add(bare)
        self._add_reserved(bare)
        if bare.startswith(_LIKE_A_DOCUMENT):
            self._add_nested(bare, nesting + 1)
        elif "{" in bare or "\\" in bare:
            self._add_loose(bare)
        if not in_form:
            for each in dict.fromkeys((text, bare)):
                for part in texts_of_form(each) if "=" in each else ():
                    self.add_text(part, nesting, in_form=True)

    def _add_reserved(self, text: str) -> None:
        """Ids of ours have one spelling, so what folds into one is a disguise of it; and they show in longer texts."""
        prefix = self._reserved_prefix
        if len(text) <= CANDIDATE_CHARS_MAX:
            visible = _visible(text)
            if len(visible) <= len(prefix) + _DISGUISED_CHARS_MAX and _folded(visible[: len(prefix)]) == prefix:
                self._add(_folded(visible))
        times = text.count(prefix)
        if times > CANDIDATES_MAX:
            raise _too_much("The request has too many different texts.")
        for found in self._reserved.findall(text) if times else ():
            self._add(found)

    def _add_nested(self, text: str, nesting: int) -> None:
        """The texts of a document inside a string; where it is none, what a forgiving reader could take for them."""
        if nesting > NESTING_MAX:
            raise _too_much("Documents inside strings are nested too deeply.")
        require_few_values(text)
        try:
            # Of a key that occurs twice both values count: readers differ in which one they take.
            value = json.loads(text, strict=False, object_pairs_hook=_flat, parse_int=str)
        except RecursionError as error:
            raise _too_much("A document inside a string is nested too deeply.") from error
        except ValueError:
            self._add_loose(text)
        else:
            self.add_all(value, nesting)

    def _add_loose(self, text: str) -> None:
        """Whatever stands between quotes and other marks, as it is written and with its escapes undone."""
        require_few_values(text)
        if text.count('"') + text.count("'") > DOCUMENT_VALUES_MAX:
            raise _too_much("A text in the request has too many quotes.")
        for _ in range(1 + _UNQUOTING_ROUNDS):
            for divider in _DIVIDERS:
                for part in divider.split(text):
                    if len(part) <= _DECODED_CHARS_MAX:
                        self._add(_bare(part).strip("\\"))
            self._add_reserved(text)
            text, before = _unescaped(text), text
            if text == before:
                break

    def _add(self, text: str) -> None:
        if 1 <= len(text) <= CANDIDATE_CHARS_MAX:
            self.found.add(text)
            if len(self.found) > CANDIDATES_MAX:
                raise _too_much("The request has too many different texts.")


@lru_cache(maxsize=_REMEMBERED_MAX)
def _candidates_in(text: str, reserved_prefix: str) -> frozenset[str]:
    """What a short text of a document could mean; most of them are the same words in every request."""
    collector = _Collector(reserved_prefix)
    collector.read_text(text)
    return frozenset(collector.found)


@lru_cache(maxsize=8)
def _ids_with(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix) + r"[A-Za-z0-9_-]+")


def _bare(text: str) -> str:
    """Without the spaces and invisible characters around it, in a time that long padding does not stretch."""
    rest = _PADDING.sub("", text, count=1)
    return _PADDING.sub("", rest[::-1], count=1)[::-1]


def _visible(text: str) -> str:
    return "".join(each for each in text if each.isprintable() and not each.isspace())


def _folded(text: str) -> str:
    """Without case, width, and what cannot be seen."""
    return _visible(unicodedata.normalize("NFKC", text).casefold())


def _unescaped(text: str) -> str:
    """With the escapes of JSON, JavaScript and Python undone once."""
    if "\\" not in text:
        return text
    # Two halves of a surrogate pair become the character that they stand for.
    return _ESCAPE.sub(_escaped_character, text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _escaped_character(escape: re.Match[str]) -> str:
    *hexadecimal, octal, other = escape.groups()
    if other is not None:
        return " " if other in "abfnrtv" else other.strip("\n")
    code = int(octal, 8) if octal else int(next(filter(None, hexadecimal)), 16)
    return chr(code) if code <= sys.maxunicode else ""


def _flat(pairs: list[tuple[str, Any]]) -> list[Any]:
    return [part for pair in pairs for part in pair]


def _too_much(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
