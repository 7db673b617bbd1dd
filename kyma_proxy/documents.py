"""One strict reading of a JSON body, RFC 8259 to the letter: what two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from kyma_proxy.errors import ErrorCode, GatewayError

DEPTH_MAX = 64
"""Arrays and objects inside each other, the outermost included."""
DOCUMENT_VALUES_MAX = 25_000
"""More than any request has, few enough to be read without holding up others."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INTEGER_DIGITS_MAX = 308  # what any reader can hold as a finite double


class _AmbiguousError(ValueError):
    """Valid for some parser, not for all; the message says what to change."""


def parse_document(content: bytes) -> dict[str, Any]:
    """The JSON object that the bytes hold.

    Raises GatewayError INVALID_REQUEST for everything else: other encodings than UTF-8, a byte order mark, another
    value than an object, anything behind it, keys of one object that are equal or differ only in case (some decoders
    match them so), NaN and Infinity, numbers beyond a double, halves of surrogate pairs, too deep or too many values.
    """
    if content.startswith(_BYTE_ORDER_MARK):
        raise _refusal("The body must not begin with a byte order mark.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal("The body is not valid UTF-8.") from error
    require_few_values(text)
    try:
        document = _DECODER.decode(text)
        # Halves of surrogate pairs can only have been escaped, and what opens no more often is nested no deeper.
        if "\\u" in text or text.count("[") + text.count("{") > DEPTH_MAX:
            _require_plain(document)
    except _AmbiguousError as error:
        raise _refusal(str(error)) from error
    except RecursionError as error:
        raise _refusal("The body is nested too deeply.") from error
    except ValueError as error:
        raise _refusal("The body is not valid JSON.") from error
    if not isinstance(document, dict):
        raise _refusal("The body must be a JSON object.")
    return document


def require_few_values(text: str) -> None:
    """Raises GatewayError INVALID_REQUEST for JSON text that may hold over `DOCUMENT_VALUES_MAX` values, unread.

    What stands in quotes does not count: commas are common in what is to be spoken.
    """
    if _marks(text) > DOCUMENT_VALUES_MAX and _marks(_STRING.sub("", text)) > DOCUMENT_VALUES_MAX:
        raise _refusal("The body has too many values.")


def _marks(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _refusal(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Go's decoder takes keys that differ in case for one, by Unicode's folding, and lets the last one win.
    if len({key.casefold() for key, _ in pairs}) != len(pairs):
        raise _AmbiguousError("An object in the body has a key twice, or two keys that differ only in case.")
    return dict(pairs)


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX:
        raise _AmbiguousError("A number in the body is too large.")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _AmbiguousError("A number in the body is too large.")
    return number


def _constant(name: str) -> NoReturn:
    raise _AmbiguousError(f"The body is not valid JSON: {name} is not a JSON value.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)


def _require_plain(document: Any) -> None:
    """Every text can be written down, and nothing lies deeper than allowed."""
    level = [document]
    depth = 0
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _require_whole_characters(value)
            elif isinstance(value, dict):
                inner.extend(value)
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        depth += any(isinstance(value, dict | list) for value in level)
        if depth > DEPTH_MAX:
            raise _AmbiguousError(f"The body is nested more than {DEPTH_MAX} levels deep.")
        level = inner


def _require_whole_characters(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _AmbiguousError("A text in the body holds half of a surrogate pair.") from error
