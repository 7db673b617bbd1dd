"""Which path a request means: one canonical form decides guards and routes, and look-alikes of a guard are refused.

Pure functions. What is forwarded is always the raw path; nothing here is sent anywhere.
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from kyma_proxy.errors import ErrorCode, GatewayError

_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")  # RFC 3986 section 2.3

# Nearly every request: plain segments, none of which starts with a dot. Such a path is its own canonical form.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_ANY_SLASH = re.compile(r"/|\\|%2[Ff]|%5[Cc]")

# An origin decodes once, a broken one twice. Two more rounds cost nothing and end the discussion.
_DECODING_ROUNDS = 4
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def canonical_path(raw_path: str) -> str:
    """The one form of a raw path (without its query) that guards and routes are chosen by.

    Escapes of unreserved characters are decoded, other escapes written in upper case, `;params`, empty segments and a
    trailing slash removed. Idempotent. Raises GatewayError INVALID_REQUEST for what is never normalised: dot segments
    (`%2e`, `..;x` and `..%2F` too), backslashes, control characters raw or encoded, raw non-ASCII, `#`, broken
    escapes. Source: contract section 4, "which requests does a guard see" and the row after it.
    """
    if _PLAIN.fullmatch(raw_path):
        return raw_path
    _refuse_unreadable(raw_path)
    decoded = _ESCAPE.sub(_normal_escape, raw_path)
    if any(_is_dot_segment(segment) for segment in _ANY_SLASH.split(decoded)):
        raise _refusal("The path must not contain `.` or `..` segments.")
    segments = (segment.partition(";")[0] for segment in decoded.split("/"))
    return "/" + "/".join(segment for segment in segments if segment)


def is_disguise(raw_path: str, guarded: frozenset[str]) -> bool:
    """Whether a raw path is a guarded one in disguise.

    True when it becomes one of the `guarded` canonical paths only by decoding everything (repeatedly, `%2F` and `%5C`
    included), resolving what then shows up (`;params`, `//`, dot segments, an encoded `?` or `#`) and folding ASCII
    case, while its canonical form is not guarded. Such a request is refused: some origin might read it as the guarded
    path. Raises GatewayError INVALID_REQUEST where `canonical_path` does.
    """
    canonical = canonical_path(raw_path)
    if canonical in guarded:
        return False
    return _most_decoded(canonical) in _folded(guarded)


def _refuse_unreadable(raw_path: str) -> None:
    if not raw_path.startswith("/"):
        raise _refusal("The path must begin with `/`.")
    if not raw_path.isascii():
        raise _refusal("The path contains raw non-ASCII bytes; percent-encode them.")
    if _CONTROL.search(raw_path) or _ENCODED_CONTROL.search(raw_path):
        raise _refusal("The path contains a control character.")
    if "\\" in raw_path:
        raise _refusal("The path contains a backslash.")
    if "#" in raw_path or "?" in raw_path:
        raise _refusal("The path contains `#` or `?`; percent-encode them.")
    if _BAD_ESCAPE.search(raw_path):
        raise _refusal("The path contains a `%` that is not followed by two hexadecimal digits.")


def _refusal(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _normal_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _is_dot_segment(segment: str) -> bool:
    return segment.partition(";")[0] in {".", ".."}


def _most_decoded(canonical: str) -> str:
    """The path as the most forgiving origin could read it."""
    if _PLAIN.fullmatch(canonical):
        return canonical.translate(_ASCII_LOWER)
    path = canonical
    for _ in range(_DECODING_ROUNDS):
        if "%" not in path:
            break
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    segments: list[str] = []
    for segment in re.split(r"[/\\]", path):
        name = _CONTROL.sub("", segment.partition(";")[0])
        if name == "..":
            del segments[-1:]
        elif name not in {"", "."}:
            segments.append(name)
    return ("/" + "/".join(segments)).translate(_ASCII_LOWER)


@lru_cache(maxsize=16)
def _folded(guarded: frozenset[str]) -> frozenset[str]:
    return frozenset(path.translate(_ASCII_LOWER) for path in guarded)
