"""From the body as sent to JSON text's bytes: which codings are understood, and how far one is unpacked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from kyma_proxy.errors import ErrorCode, GatewayError

_GZIP_WINDOW_BITS = 31  # 15 bits and a gzip header, of which exactly one is read
_CHARSET = re.compile(r'charset[^=;]*=\s*"?\s*([^";,\s]*)', re.IGNORECASE)
_UTF_8 = frozenset({"utf-8", "utf8"})


def require_utf_8(content_types: Sequence[str]) -> None:
    """The charset that Content-Type names, if any, is UTF-8. The type itself plays no role.

    Raises GatewayError INVALID_REQUEST (contract section 4, "speech bodies").
    """
    for value in content_types:
        for charset in _CHARSET.findall(value):
            if charset.lower() not in _UTF_8:
                raise GatewayError(ErrorCode.INVALID_REQUEST, "Send the body in UTF-8: no other charset is read here.")


def is_gzip(content_encodings: Sequence[str]) -> bool:
    """Whether the body is packed with gzip, as the values of Content-Encoding say; False: it is sent as it is.

    Raises GatewayError UNSUPPORTED_FORMAT for any other coding, and for more than one.
    """
    codings = [coding.strip().lower() for value in content_encodings for coding in value.split(",")]
    if codings in ([], ["identity"]):
        return False
    if codings == ["gzip"]:
        return True
    raise GatewayError(
        ErrorCode.UNSUPPORTED_FORMAT, "Send the body as it is or packed once with gzip: no other Content-Encoding."
    )


def unpack(packed: bytes, max_bytes: int) -> bytes:
    """What one whole gzip member holds, at most `max_bytes`.

    Raises GatewayError TOO_LARGE when it holds more, before more is unpacked; INVALID_REQUEST when it is damaged, cut
    short, or followed by anything, since a second member would be read by some and ignored by others.
    """
    unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
    try:
        content = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise GatewayError(ErrorCode.INVALID_REQUEST, "The body is not valid gzip.") from error
    if len(content) > max_bytes:
        raise GatewayError(ErrorCode.TOO_LARGE, f"The unpacked body is over {max_bytes} bytes.")
    if not unpacker.eof or unpacker.unused_data:
        raise GatewayError(ErrorCode.INVALID_REQUEST, "The body must be exactly one whole gzip member.")
    return content
