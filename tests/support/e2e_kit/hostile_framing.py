"""Where a body ends, said in two ways, in no way, or in a way that some reader might not understand."""

from __future__ import annotations

from typing import Any, Final

from e2e_kit.hostile import EITHER, MARKER, Case, cases_of, chunk, request

_CHUNKED: Final = b"Transfer-Encoding: chunked"
_LAST: Final = b"0\r\n\r\n"

_CODINGS_READ: Final = {
    "as it should be": _CHUNKED,
    "upper case": b"TRANSFER-ENCODING: CHUNKED",
    "mixed case": b"tRANSFER-encoding: cHuNkEd",
    "no space": b"Transfer-Encoding:chunked",
    "tab": b"Transfer-Encoding:\tchunked",
    "many spaces": b"Transfer-Encoding:  \t chunked",
    "space behind": b"Transfer-Encoding: chunked ",
}
_CODINGS_REFUSED: Final = {
    "tab behind": b"Transfer-Encoding: chunked\t",
    "vertical tab before": b"Transfer-Encoding: \x0bchunked",
    "vertical tab behind": b"Transfer-Encoding: chunked\x0b",
    "form feed": b"Transfer-Encoding: chunked\x0c",
    "space before colon": b"Transfer-Encoding : chunked",
    "tab before colon": b"Transfer-Encoding\t: chunked",
    "xchunked": b"Transfer-Encoding: xchunked",
    "chunkedx": b"Transfer-Encoding: chunkedx",
    "chunked twice": b"Transfer-Encoding: chunked, chunked",
    "chunked, identity": b"Transfer-Encoding: chunked, identity",
    "identity, chunked": b"Transfer-Encoding: identity, chunked",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked",
    "chunked, gzip": b"Transfer-Encoding: chunked, gzip",
    "identity": b"Transfer-Encoding: identity",
    "empty": b"Transfer-Encoding:",
    "comma before": b"Transfer-Encoding: , chunked",
    "comma behind": b"Transfer-Encoding: chunked,",
    "double quotes": b'Transfer-Encoding: "chunked"',
    "single quotes": b"Transfer-Encoding: 'chunked'",
    "parameter": b"Transfer-Encoding: chunked;q=1",
    "folded with space": b"Transfer-Encoding:\r\n chunked",
    "folded with tab": b"Transfer-Encoding:\r\n\tchunked",
    "folded behind": b"Transfer-Encoding: chunked\r\n , identity",
    "twice the same": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "identity, then chunked": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "chunked, then identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "bare CR behind": b"Transfer-Encoding: chunked\rX: y",
    "behind a bare CR": b"X: y\rTransfer-Encoding: chunked",
    "behind a bare LF": b"X: y\nTransfer-Encoding: chunked",
    "CR before the name": b"\rTransfer-Encoding: chunked",
    "NUL behind": b"Transfer-Encoding: chunked\x00",
    "NUL in the name": b"Transfer-\x00Encoding: chunked",
    "space before the name": b" Transfer-Encoding: chunked",
    "space in the name": b"Transfer Encoding: chunked",
    "not ASCII": b"Transfer-Encoding: \xe7hunked",
    "no-break space": b"Transfer-Encoding:\xa0chunked",
    "two colons": b"Transfer-Encoding:: chunked",
    "escaped": b"Transfer-Encoding: %63hunked",
}
_NOT_CODINGS: Final = {
    "underscore": b"Transfer_Encoding: chunked",
    "prefixed": b"X-Transfer-Encoding: chunked",
    "suffixed": b"Transfer-Encodings: chunked",
    "in a cookie": b"Cookie: Transfer-Encoding=chunked",
}


def _coding_cases() -> dict[str, Any]:
    table: dict[str, Any] = {}
    hidden = _LAST + MARKER
    length = b"Content-Length: %d" % len(hidden)
    for name, line in (_CODINGS_READ | _CODINGS_REFUSED).items():
        table[f"{name}, length first"] = request(length, line, body=hidden)
        table[f"{name}, length last"] = request(line, b"Content-Length: 4", body=chunk(MARKER) + _LAST)
    for name, line in _CODINGS_READ.items():
        table[f"{name}, alone"] = _served(request(line, body=chunk(MARKER) + _LAST), MARKER)
    for name, line in _CODINGS_REFUSED.items():
        table[f"{name}, alone"] = request(line, body=chunk(MARKER) + _LAST)
    for name, line in _NOT_CODINGS.items():
        table[f"{name}, no coding at all"] = _served(request(length, line, body=hidden), hidden)
    old = request(_CHUNKED, body=chunk(MARKER) + _LAST).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    table["in HTTP/1.0"] = old
    table["in HTTP/1.0 kept alive"] = old.replace(b"Host", b"Connection: keep-alive\r\nHost") + MARKER
    table["on GET"] = _served(request(_CHUNKED, method=b"GET", body=chunk(MARKER) + _LAST), MARKER)
    return table


def _served(sent: bytes, body: bytes) -> dict[str, Any]:
    return {"sent": (sent,), "outcome": (200,), "bodies": (body,)}


def _length_cases() -> dict[str, Any]:
    size = b"%d" % len(MARKER)
    refused = {
        "twice the same": b"Content-Length: %s\r\nContent-Length: %s" % (size, size),
        "twice different": b"Content-Length: %s\r\nContent-Length: 0" % size,
        "zero first": b"Content-Length: 0\r\nContent-Length: %s" % size,
        "list of the same": b"Content-Length: %s, %s" % (size, size),
        "list of different": b"Content-Length: 0, %s" % size,
        "comma behind": b"Content-Length: %s," % size,
        "plus": b"Content-Length: +%s" % size,
        "minus": b"Content-Length: -%s" % size,
        "minus zero": b"Content-Length: -0",
        "hexadecimal": b"Content-Length: 0x%x" % len(MARKER),
        "inner space": b"Content-Length: %s 0" % size,
        "vertical tab": b"Content-Length: \x0b%s" % size,
        "form feed behind": b"Content-Length: %s\x0c" % size,
        "NUL behind": b"Content-Length: %s\x00" % size,
        "fraction": b"Content-Length: %s.0" % size,
        "exponent": b"Content-Length: 1e1",
        "empty": b"Content-Length:",
        "words": b"Content-Length: five",
        "other digits": b"Content-Length: \xd9\xa5",
        "superscript": b"Content-Length: \xb2",
        "underscore": b"Content-Length: 4_4",
        "semicolon": b"Content-Length: %s;" % size,
        "quoted": b'Content-Length: "%s"' % size,
        "2^63": b"Content-Length: 9223372036854775808",
        "2^64 - 1": b"Content-Length: 18446744073709551615",
        "2^64": b"Content-Length: 18446744073709551616",
        "2^64 + size": b"Content-Length: %d" % (2**64 + len(MARKER)),
        "forty nines": b"Content-Length: " + b"9" * 40,
        "space before colon": b"Content-Length : %s" % size,
        "tab before colon": b"Content-Length\t: %s" % size,
        "folded": b"Content-Length:\r\n %s" % size,
        "folded behind": b"Content-Length: %s\r\n 0" % size,
        "behind a bare CR": b"X: y\rContent-Length: %s" % size,
        "behind a bare LF": b"X: y\nContent-Length: %s" % size,
        "space before the name": b" Content-Length: %s" % size,
    }
    table: dict[str, Any] = {name: request(line, body=MARKER) for name, line in refused.items()}
    for name, line in {
        "spaces around": b"Content-Length: \t %s \t" % size,
        "no space": b"Content-Length:" + size,
    }.items():
        table[name] = _served(request(line, body=MARKER), MARKER)
    table["leading zeros"] = _served(request(b"Content-Length: 000%s" % size, body=MARKER), MARKER) | {
        "outcome": EITHER
    }
    table["on GET"] = _served(request(b"Content-Length: " + size, method=b"GET", body=MARKER), MARKER)
    table["on HTTP/1.0"] = _served(
        request(b"Content-Length: " + size, body=MARKER).replace(b"HTTP/1.1", b"HTTP/1.0", 1), MARKER
    )
    return table


def _chunk_cases() -> dict[str, Any]:
    refused = {
        "bare LF behind the size": b"3\nabc\r\n" + _LAST,
        "bare CR behind the size": b"3\rabc\r\n" + _LAST,
        "bare LF behind the data": b"3\r\nabc\n" + _LAST,
        "bare CR behind the data": b"3\r\nabc\r" + _LAST,
        "nothing behind the data": b"3\r\nabc" + _LAST,
        "too much data": b"3\r\nabcd\r\n" + _LAST,
        "0x": b"0x3\r\nabc\r\n" + _LAST,
        "plus": b"+3\r\nabc\r\n" + _LAST,
        "minus": b"-3\r\nabc\r\n" + _LAST,
        "space before": b" 3\r\nabc\r\n" + _LAST,
        "space behind": b"3 \r\nabc\r\n" + _LAST,
        "tab behind": b"3\t\r\nabc\r\n" + _LAST,
        "space before an extension": b"3 ;x=y\r\nabc\r\n" + _LAST,
        "underscore": b"3_0\r\nabc\r\n" + _LAST,
        "NUL": b"3\x00\r\nabc\r\n" + _LAST,
        "quoted": b'"3"\r\nabc\r\n' + _LAST,
        "no size": b"\r\nabc\r\n" + _LAST,
        "no hexadecimal digit": b"g\r\nabc\r\n" + _LAST,
        "comma": b"3,3\r\nabc\r\n" + _LAST,
        "2^64 - 1": b"ffffffffffffffff\r\nabc\r\n" + _LAST,
        "2^64 + 3": b"10000000000000003\r\nabc\r\n" + _LAST,
        "forty digits": b"f" * 40 + b"\r\nabc\r\n" + _LAST,
        "LF in an extension": b"3;x=\ny\r\nabc\r\n" + _LAST,
        "CR in an extension": b"3;x=\ry\r\nabc\r\n" + _LAST,
        "NUL in an extension": b"3;x=\x00y\r\nabc\r\n" + _LAST,
        "CR LF in a quoted extension": b'3;x="\r\n0\r\n\r\n' + MARKER + b'"\r\nabc\r\n' + _LAST,
        "endless extension": b"3;" + b"x" * 20_000 + b"\r\nabc\r\n" + _LAST,
        "last chunk with bare LF": b"3\r\nabc\r\n0\n\r\n",
        "end with bare LF": b"3\r\nabc\r\n0\r\n\n",
        "trailer without colon": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
        "trailer with bare LF": b"3\r\nabc\r\n0\r\nX: y\nZ: z\r\n\r\n",
        "trailer with bare CR": b"3\r\nabc\r\n0\r\nX: y\rZ: z\r\n\r\n",
        "trailer Content-Length": b"3\r\nabc\r\n0\r\nContent-Length: 44\r\n\r\n",
        "trailer Transfer-Encoding": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "too many trailers": b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    }
    table: dict[str, Any] = {name: request(_CHUNKED, body=body + MARKER) for name, body in refused.items()}
    served = {
        "upper case digits": b"00A\r\n0123456789\r\n" + _LAST,
        "an extension": b"3;x=y\r\nabc\r\n" + _LAST,
        "a quoted extension": b'3;x="y;z"\r\nabc\r\n0;last\r\n\r\n',
        "many zeros": b"3\r\nabc\r\n0000\r\n\r\n",
        "two chunks": chunk(b"ab") + chunk(b"c") + _LAST,
    }
    for name, body in served.items():
        table[name] = _served(request(_CHUNKED, body=body), b"0123456789" if b"A" in body else b"abc")
    trailers = (b"X-Injected: smuggled", b"Host: smuggled", b"Authorization: Bearer smuggled", b"Connection: smuggled")
    for trailer in trailers:
        body = b"3\r\nabc\r\n0\r\n" + trailer + b"\r\n\r\n"
        table[f"trailer {trailer[:8].decode()}"] = _served(request(_CHUNKED, body=body + MARKER), b"abc")
        pieces = (request(_CHUNKED, body=body), MARKER)
        table[f"trailer {trailer[:8].decode()}, then a request"] = _served(b"", b"abc") | {"sent": pieces}
    zeros = request(_CHUNKED, body=b"0" * 30 + b"3\r\nabc\r\n" + _LAST)
    table["thirty zeros"] = _served(zeros, b"abc") | {"outcome": EITHER}
    table["cut short"] = {"sent": (request(_CHUNKED, body=b"ff\r\n" + MARKER),), "leaves": True}
    table["one byte at a time"] = _served(b"", b"abc") | {
        "sent": tuple(bytes([each]) for each in request(_CHUNKED, body=b"3;x=y\r\nabc\r\n" + _LAST))
    }
    return table


FRAMING: Final[list[Case]] = [
    *cases_of("coding", _coding_cases()),
    *cases_of("length", _length_cases()),
    *cases_of("chunks", _chunk_cases()),
]
