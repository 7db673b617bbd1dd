"""What is sent behind, before, instead of or slower than a request."""

from __future__ import annotations

from typing import Any, Final

from e2e_kit.hostile import EITHER, MARKER, PATH, Case, cases_of, chunk, request

_GET: Final = request(method=b"GET")
_CLONE: Final = b"/v1/audio/voice-clone"
_LENGTH: Final = b"Content-Length: %d" % len(MARKER)
_CHUNKED: Final = b"Transfer-Encoding: chunked"
_HIDDEN: Final = chunk(MARKER) + b"0\r\n\r\n"
_UPGRADE: Final = b"Connection: Upgrade"
_WEBSOCKET: Final = (
    _UPGRADE,
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + b"A" * 22 + b"==",
)


def _behind() -> dict[str, Any]:
    """Requests behind others. A marker behind an answer that ends the connection is never read."""
    post = request(_LENGTH, body=MARKER)
    return {
        "malformed": request(b"no colon", method=b"GET") + MARKER,
        "an unknown method": request(method=b"FOO") + MARKER,
        "TRACE": request(method=b"TRACE") + MARKER,
        "a bad target": request(method=b"GET", target=b"/v1/audio/#x") + MARKER,
        "a bad Host": _GET.replace(b"Host: h", b"Host: h/h") + MARKER,
        "a bad expectation": request(b"Expect: x", method=b"GET") + MARKER,
        "a length over all": request(b"Content-Length: 99999999999999999999") + MARKER,
        "Connection: close": {"sent": (request(b"Connection: close", method=b"GET") + MARKER,), "outcome": (200,)},
        "HTTP/1.0": {"sent": (_GET.replace(b"/1.1", b"/1.0", 1) + MARKER,), "outcome": (200,)},
        "a 401 with its body": request(_LENGTH, target=_CLONE, body=MARKER),
        "a 401 with a chunked body": request(_CHUNKED, target=_CLONE, body=_HIDDEN),
        "a 401 with a body to come": {"sent": (request(_LENGTH, target=_CLONE), MARKER)},
        "a 401 to a client that waits": {"sent": (request(_LENGTH, b"Expect: 100-continue", target=_CLONE), MARKER)},
        "a 404 with a chunked body": request(_CHUNKED, target=b"/smuggled", body=_HIDDEN),
        "a 404 with a body to come": {"sent": (request(_LENGTH, target=b"/smuggled"), MARKER)},
        "a 405 with a body": request(_LENGTH, method=b"PUT", target=_CLONE, body=MARKER),
        "a 400 of the path with a body": request(_LENGTH, target=b"/v1/audio/../x", body=MARKER),
        "a 400 of the path with half a body": {
            "sent": (request(b"Content-Length: 9999", target=b"/v1/audio/../x", body=MARKER),)
        },
        "a length that is too large": request(
            b"Content-Length: 99999999", b"Authorization: Bearer x", target=_CLONE, body=MARKER
        ),
        "GET with a body, then another": {
            "sent": (request(_LENGTH, method=b"GET", body=MARKER) + _GET,),
            "outcome": (200, 200),
            "bodies": (MARKER, b""),
        },
        "three good ones": {
            "sent": (post + request(_CHUNKED, body=_HIDDEN) + _GET,),
            "outcome": (200, 200, 200),
            "bodies": (MARKER, MARKER, b""),
        },
        "a good one, then a malformed one": {"sent": (_GET + b"GET / HTTP/9\r\n\r\n" + MARKER,), "outcome": (200, 400)},
        "a good one, then two spaces": {
            "sent": (post + _GET.replace(b" ", b"  ", 1) + MARKER,),
            "outcome": (200, 400),
            "bodies": (MARKER,),
        },
        "a good one, then empty lines": {"sent": (_GET + b"\r\n\r\n" + _GET + MARKER,), "outcome": (200, 400)},
        "a good one, then one empty line": {"sent": (post + b"\r\n" + _GET,), "outcome": (200, 200)},
        "a 404, then a good one": {"sent": (request(method=b"GET", target=b"/x") + _GET,), "outcome": (404, 200)},
        "a 401, then a good one": {
            "sent": (request(_LENGTH, target=_CLONE, body=MARKER) + _GET,),
            "outcome": (401, 200),
        },
        "fifty good ones": {"sent": (_GET * 50,), "outcome": (200,) * 50},
    }


def _switching() -> dict[str, Any]:
    websocket = request(*_WEBSOCKET, method=b"GET")
    return {
        "h2c": {
            "sent": (
                request(
                    b"Connection: Upgrade, HTTP2-Settings",
                    b"Upgrade: h2c",
                    b"HTTP2-Settings: AAMAAABkAAQ",
                    method=b"GET",
                )
                + MARKER,
            ),
            "outcome": (200,),
            "fields": {b"upgrade": [], b"http2-settings": [], b"connection": []},
        },
        "h2c with a body": {
            "sent": (request(_UPGRADE, b"Upgrade: h2c", _LENGTH, body=MARKER) + MARKER,),
            "outcome": (200,),
            "bodies": (MARKER,),
        },
        "TLS/1.0": {"sent": (request(_UPGRADE, b"Upgrade: TLS/1.0", method=b"GET") + MARKER,), "outcome": EITHER},
        "WebSocket to an origin that declines": {"sent": (websocket + MARKER,), "outcome": EITHER},
        "WebSocket, then bytes": {"sent": (websocket, MARKER), "outcome": EITHER},
        "WebSocket with a body": request(*_WEBSOCKET, _LENGTH, method=b"GET", body=MARKER) + MARKER,
        "WebSocket with chunks": request(*_WEBSOCKET, _CHUNKED, method=b"GET", body=_HIDDEN) + MARKER,
        "WebSocket by POST": {
            "sent": (request(*_WEBSOCKET, _LENGTH, body=MARKER) + MARKER,),
            "outcome": EITHER,
            "bodies": (MARKER,),
        },
        "WebSocket on HTTP/1.0": {"sent": (websocket.replace(b"/1.1", b"/1.0", 1) + MARKER,), "outcome": EITHER},
        "WebSocket on a guarded path": request(*_WEBSOCKET, method=b"GET", target=_CLONE) + MARKER,
        "two protocols": {
            "sent": (request(_UPGRADE, b"Upgrade: websocket, h2c", method=b"GET") + MARKER,),
            "outcome": EITHER,
        },
        "no protocol": {"sent": (request(_UPGRADE, method=b"GET"),), "outcome": (200,)},
        "a protocol that Connection does not name": {
            "sent": (request(b"Upgrade: websocket", method=b"GET"),),
            "outcome": (200,),
            "fields": {b"upgrade": []},
        },
        "CONNECT with bytes behind": request(method=b"CONNECT", target=b"h:443") + MARKER,
        "CONNECT with a length": request(_LENGTH, method=b"CONNECT", target=b"h:443", body=MARKER),
        "old WebSocket keys": request(b"Sec-WebSocket-Key1: 1 2", *_WEBSOCKET, method=b"GET") + MARKER,
    }


def _expectations() -> dict[str, Any]:
    return {
        "unknown": request(b"Expect: miracles", _LENGTH, body=MARKER),
        "two": request(b"Expect: 100-continue, miracles", _LENGTH, body=MARKER),
        "twice": request(b"Expect: 100-continue", b"Expect: 100-continue", _LENGTH, body=MARKER),
        "empty": request(b"Expect:", _LENGTH, body=MARKER),
        "with a parameter": request(b"Expect: 100-continue;x=y", _LENGTH, body=MARKER),
        "other number": request(b"Expect: 200-ok", _LENGTH, body=MARKER),
        "upper case": {
            "sent": (request(b"Expect: 100-CONTINUE", _LENGTH), MARKER),
            "outcome": (200,),
            "bodies": (MARKER,),
        },
        "without a body": {"sent": (request(b"Expect: 100-continue", method=b"GET"),), "outcome": (200,)},
        "body at once": {
            "sent": (request(b"Expect: 100-continue", _LENGTH, body=MARKER),),
            "outcome": (200,),
            "bodies": (MARKER,),
        },
        "on HTTP/1.0": {
            "sent": (request(b"Expect: 100-continue", _LENGTH, body=MARKER).replace(b"/1.1", b"/1.0", 1),),
            "outcome": EITHER,
            "bodies": (MARKER,),
        },
    }


def _other_protocols() -> dict[str, Any]:
    return {
        "TLS": bytes.fromhex("16030100c8010000c403036162") + bytes(190),
        "SSL 2": bytes.fromhex("802e010002001500000010") + bytes(40),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
        "SMTP": b"EHLO smuggled\r\n",
        "PROXY version 1": b"PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\n" + MARKER,
        "PROXY version 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + MARKER,
        "SOCKS": b"\x05\x01\x00",
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "JSON": b'{"model": "x"}\n',
        "NUL": bytes(1000),
        "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + MARKER,
        "every byte": bytes(range(256)) * 8,
        "a megabyte of letters": b"A" * 1_000_000,
        "a megabyte of empty lines": b"\r\n" * 500_000 + MARKER,
        "nothing at all": b"",
    }


def _cut_short() -> dict[str, Any]:
    half = request(b"Content-Length: 999", body=MARKER)
    return {
        "head, silent": b"GET " + PATH + b" HTTP/1.1\r\nHost: h\r\n",
        "head, trickling": {"sent": (*[bytes([each]) for each in b"GET " + PATH + b" HTTP/1.1\r\nX: "], b"y")},
        "head, client leaves": {"sent": (b"GET " + PATH + b" HTTP/1.1\r\nHost: h\r\n",), "leaves": True},
        "body, silent": half,
        "body, client leaves": {"sent": (half,), "leaves": True},
        "chunk, silent": request(_CHUNKED, body=b"fff\r\n" + MARKER),
        "chunk, client leaves": {"sent": (request(_CHUNKED, body=b"fff\r\n" + MARKER),), "leaves": True},
        "before the last chunk, client leaves": {"sent": (request(_CHUNKED, body=chunk(MARKER)),), "leaves": True},
        "before the end of trailers, client leaves": {
            "sent": (request(_CHUNKED, body=chunk(MARKER) + b"0\r\nX: y\r\n"),),
            "leaves": True,
        },
        "of a waiting client": {"sent": (request(b"Expect: 100-continue", b"Content-Length: 9"),)},
        "half-close behind a whole request": {"sent": (_GET,), "leaves": True, "outcome": EITHER},
    }


FLOW: Final[list[Case]] = [
    *cases_of("behind", _behind()),
    *cases_of("switching", _switching()),
    *cases_of("expect", _expectations()),
    *cases_of("another protocol", _other_protocols()),
    *cases_of("cut short", _cut_short()),
]
