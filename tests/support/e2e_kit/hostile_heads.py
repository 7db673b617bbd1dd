"""Request lines, targets, hosts and header lines that two readers could read differently."""

from __future__ import annotations

from typing import Any, Final

from e2e_kit.hostile import EITHER, INJECTED, MARKER, PATH, Case, cases_of, request

_GET: Final = b"GET " + PATH
_END: Final = b"\r\nHost: h\r\n\r\n"
_SERVED: Final = {"outcome": (200,)}


def _served(*lines: bytes, **more: Any) -> dict[str, Any]:
    return {"sent": (request(*lines, method=b"GET"),), **_SERVED, **more}


def _header_lines() -> dict[str, Any]:
    refused = {
        "bare CR in a value": b"X: y\r" + INJECTED,
        "bare LF in a value": b"X: y\n" + INJECTED,
        "bare CR at its end": b"X: y\r\r\n" + INJECTED,
        "LF CR": b"X: y\n\r" + INJECTED,
        "NUL in a value": b"X: y\x00" + INJECTED,
        "NUL in a name": b"X\x00: y",
        "folded with space": b"X: y\r\n " + INJECTED,
        "folded with tab": b"X: y\r\n\t" + INJECTED,
        "empty folded line": b"X: y\r\n \r\n" + INJECTED,
        "first line folded": b" X: y",
        "no colon": b"X y",
        "only a colon": b":",
        "empty name": b": y",
        "space in the name": b"X Y: z",
        "space before the colon": b"X : y",
        "tab before the colon": b"X\t: y",
        "parentheses in the name": b"X(y): z",
        "slash in the name": b"X/Y: z",
        "quote in the name": b'"X": y',
        "bracket in the name": b"X[0]: y",
        "equals sign in the name": b"X=y: z",
        "not ASCII in the name": b"X\xe9: y",
        "UTF-8 in the name": b"\xc3\x9c: y",
        "DEL in the name": b"X\x7f: y",
        "escape in a value": b"X: \x1b[31m",
        "backspace in a value": b"X: y\x08",
        "DEL in a value": b"X: y\x7f",
        "a second request line": MARKER[: MARKER.index(b"\r\n")],
        "empty line with a space": b" ",
    }
    table: dict[str, Any] = {name: request(line, method=b"GET") for name, line in refused.items()}
    head = request(b"X: y", method=b"GET")
    table["only LF"] = head.replace(b"\r\n", b"\n")
    table["only CR"] = head.replace(b"\r\n", b"\r")
    table["LF at the end"] = head[:-2] + b"\n"
    table["LF behind the request line"] = head.replace(b"\r\n", b"\n", 1)
    table["CR CR LF"] = head.replace(b"\r\n", b"\r\r\n")
    table["129 headers"] = request(*[b"X: y"] * 128, method=b"GET")
    table["128 headers"] = _served(*[b"X: y"] * 127) | {"fields": {b"x": [b"y"] * 127}, "outcome": EITHER}
    table["100 headers"] = _served(*[b"X: y"] * 99) | {"fields": {b"x": [b"y"] * 99}}
    table["1 MB of headers"] = request(*[b"X-%d: %s" % (number, b"y" * 8000) for number in range(130)], method=b"GET")
    table["value of 9000 bytes"] = request(b"X: " + b"y" * 9000, method=b"GET")
    table["name of 9000 bytes"] = request(b"X" * 9000 + b": y", method=b"GET")
    table["endless header"] = request(b"X: " + b"y" * 1_000_000)[:-4]
    table["high bytes in a value"] = _served(b"X: caf\xe9 \xff", fields={b"x": [b"caf\xe9 \xff"]})
    table["tab in a value"] = _served(b"X: a\tb", fields={b"x": [b"a\tb"]})
    table["empty value"] = _served(b"X:", fields={b"x": [b""]})
    table["odd but good name"] = _served(b"!#$%&'*+-.^_`|~0: y", fields={b"!#$%&'*+-.^_`|~0": [b"y"]})
    return table


def _request_lines() -> dict[str, Any]:
    refused = {
        "two spaces": b"GET  " + PATH + b" HTTP/1.1",
        "two spaces before the version": _GET + b"  HTTP/1.1",
        "tab": b"GET\t" + PATH + b" HTTP/1.1",
        "tab before the version": _GET + b"\tHTTP/1.1",
        "form feed": b"GET\x0c" + PATH + b" HTTP/1.1",
        "space behind": _GET + b" HTTP/1.1 ",
        "tab behind": _GET + b" HTTP/1.1\t",
        "word behind": _GET + b" HTTP/1.1 x",
        "space before": b" " + _GET + b" HTTP/1.1",
        "space in the target": _GET + b" x HTTP/1.1",
        "no version": _GET,
        "space instead of a version": _GET + b" ",
        "no target": b"GET HTTP/1.1",
        "empty target": b"GET  HTTP/1.1",
        "only a method": b"GET",
        "HTTP/0.9": _GET + b" HTTP/0.9",
        "HTTP/1.2": _GET + b" HTTP/1.2",
        "HTTP/1.10": _GET + b" HTTP/1.10",
        "HTTP/01.1": _GET + b" HTTP/01.1",
        "HTTP/1": _GET + b" HTTP/1",
        "HTTP/1.": _GET + b" HTTP/1.",
        "HTTP/1,1": _GET + b" HTTP/1,1",
        "HTTP/2.0": _GET + b" HTTP/2.0",
        "HTTP/2": _GET + b" HTTP/2",
        "HTTP/3": _GET + b" HTTP/3",
        "HTTP/9.9": _GET + b" HTTP/9.9",
        "HTTP/-1.1": _GET + b" HTTP/-1.1",
        "lower case version": _GET + b" http/1.1",
        "mixed case version": _GET + b" Http/1.1",
        "HTTPS/1.1": _GET + b" HTTPS/1.1",
        "RTSP/1.0": _GET + b" RTSP/1.0",
        "RTSP/1.0 with its own method": b"SETUP " + PATH + b" RTSP/1.0",
        "ICE/1.0": b"SOURCE " + PATH + b" ICE/1.0",
        "lower case method": b"get " + PATH + b" HTTP/1.1",
        "unknown method": b"FOO " + PATH + b" HTTP/1.1",
        "method with a longer name": b"GETS " + PATH + b" HTTP/1.1",
        "method with NUL": b"GET\x00 " + PATH + b" HTTP/1.1",
        "method with a colon": b"GET: " + PATH + b" HTTP/1.1",
        "method with a bare CR": b"GET\r " + PATH + b" HTTP/1.1",
        "not ASCII method": b"G\xc9T " + PATH + b" HTTP/1.1",
        "quoted method": b'"GET" ' + PATH + b" HTTP/1.1",
        "method of 9000 bytes": b"A" * 9000 + b" " + PATH + b" HTTP/1.1",
        "PRI": b"PRI * HTTP/2.0",
        "CONNECT": b"CONNECT h:443 HTTP/1.1",
        "CONNECT with a path": b"CONNECT " + PATH + b" HTTP/1.1",
        "TRACE": b"TRACE " + PATH + b" HTTP/1.1",
        "two empty lines before": b"\r\n\r\n" + _GET + b" HTTP/1.1",
        "LF before": b"\n" + _GET + b" HTTP/1.1",
        "CR before": b"\r" + _GET + b" HTTP/1.1",
        "NUL before": b"\x00" + _GET + b" HTTP/1.1",
        "byte order mark": b"\xef\xbb\xbf" + _GET + b" HTTP/1.1",
    }
    table: dict[str, Any] = {name: line + _END + MARKER for name, line in refused.items()}
    table["HTTP/0.9 as it was"] = _GET + b"\r\n"
    table["one empty line before"] = {"sent": (b"\r\n" + _GET + b" HTTP/1.1" + _END,), **_SERVED}
    table["PROPFIND"] = {"sent": (b"PROPFIND " + PATH + b" HTTP/1.1" + _END,), **_SERVED}
    table["M-SEARCH"] = {"sent": (b"M-SEARCH " + PATH + b" HTTP/1.1" + _END,), **_SERVED}
    table["HTTP/1.0"] = {"sent": (_GET + b" HTTP/1.0\r\n\r\n",), **_SERVED}
    return table


_REFUSED_TARGETS: Final = {
    "fragment": PATH + b"#x",
    "fragment in the query": PATH + b"?x#y",
    "backslash": b"/v1/audio\\transcriptions",
    "backslashes up": b"/v1/audio/..\\..\\smuggled",
    "dot segments": b"/v1/audio/x/../transcriptions",
    "dot segments up": b"/v1/audio/../../smuggled",
    "one dot": b"/v1/./audio/transcriptions",
    "two dots at the end": b"/v1/audio/x/..",
    "%2e%2e": b"/v1/audio/%2e%2e/smuggled",
    "%2E.": b"/v1/audio/%2E./smuggled",
    "..;x": b"/v1/audio/..;x/smuggled",
    "..%2f": b"/v1/audio/..%2fsmuggled",
    "..%5c": b"/v1/audio/..%5csmuggled",
    "leading dots": b"/../v1/audio/transcriptions",
    "NUL": b"/v1/audio/x\x00",
    "encoded NUL": b"/v1/audio/x%00",
    "encoded CR LF": b"/v1/audio/x%0d%0aX-Injected:%20smuggled",
    "encoded LF": b"/v1/audio/x%0a",
    "encoded DEL": b"/v1/audio/x%7f",
    "broken escape": b"/v1/audio/x%zz",
    "half an escape": b"/v1/audio/x%4",
    "overlong UTF-8, raw": b"/v1/audio/\xc0\xae\xc0\xae/smuggled",
    "UTF-8, raw": b"/v1/audio/caf\xc3\xa9",
    "Latin-1, raw": b"/v1/audio/caf\xe9",
    "not ASCII in the query": PATH + b"?\xe9",
    "control in the query": PATH + b"?\x01",
    "tab in the query": PATH + b"?\tx",
    "DEL in the query": PATH + b"?\x7f",
    "9000 bytes": PATH + b"/" + b"x" * 9000,
    "9000 bytes of query": PATH + b"?" + b"x" * 9000,
    "1 MB": PATH + b"/" + b"x" * 1_000_000,
    "asterisk": b"*",
    "authority": b"h:80",
    "host alone": b"h",
    "relative": b"v1/audio/transcriptions",
    "only a query": b"?x",
    "ftp": b"ftp://h/v1/audio/transcriptions",
    "file": b"file:///v1/audio/transcriptions",
    "javascript": b"javascript:x",
    "absolute without a host": b"http:///v1/audio/transcriptions",
    "absolute with one slash": b"http:/v1/audio/transcriptions",
    "absolute with a space": b"http://h h/v1/audio/transcriptions",
    "absolute with a backslash": b"http://h\\v1/audio/transcriptions",
    "absolute with dots": b"http://h/v1/audio/../smuggled",
    "absolute with userinfo": b"http://user:smuggled@h/v1/audio/transcriptions",
    "absolute with an odd port": b"http://h:x/v1/audio/transcriptions",
    "outside": b"/smuggled",
    "outside, upper case": b"/V1/AUDIO/smuggled",
    "outside, longer": b"/v1/audiosmuggled",
    "outside, network path": b"//h/v1/audio/smuggled",
    "guarded, without a key": b"/v1/audio/voice-clone",
    "guarded in disguise": b"/v1/audio/voice%252dclone",
    "guarded in capitals": b"/v1/audio/Voice-Clone",
    "guarded with an encoded slash": b"/v1/audio%2fvoice-clone",
}


def _targets() -> dict[str, Any]:
    table: dict[str, Any] = {name: request(target=target, method=b"POST") for name, target in _REFUSED_TARGETS.items()}
    table["asterisk of OPTIONS"] = request(target=b"*", method=b"OPTIONS")
    served = {
        "lone question mark": PATH + b"?",
        "escapes of plain characters": b"/v1/audio/%74ranscriptions",
        "double slash": b"/v1//audio/transcriptions",
        "parameters": PATH + b";x=y",
        "absolute": b"http://h" + PATH,
        "absolute, another host": b"http://elsewhere:8080" + PATH + b"?x",
        "absolute, upper case": b"HTTP://h" + PATH,
        "CR LF in the query": PATH + b"?x=%0d%0aX-Injected:%20s",
        "odd but good query": PATH + b"?a=[b]&c={d}|^`'\"<>\\",
        "encoded slash": b"/v1/audio/x%2fy",
        "encoded UTF-8": b"/v1/audio/caf%C3%A9",
    }
    for name, target in served.items():
        table[name] = {"sent": (request(target=target, method=b"GET"),), "outcome": EITHER}
    for name in ("lone question mark", "absolute", "absolute, another host", "CR LF in the query", "encoded UTF-8"):
        table[name]["outcome"] = (200,)
    table["double encoding of dots"] = {"sent": (request(target=b"/v1/audio/%252e%252e/x"),), "outcome": EITHER}
    table["overlong UTF-8, encoded"] = {"sent": (request(target=b"/v1/audio/%c0%ae%c0%ae/x"),), "outcome": EITHER}
    return table


def _hosts() -> dict[str, Any]:
    refused = {
        "none": b"X: y",
        "empty": b"Host:",
        "only spaces": b"Host:  \t",
        "twice": b"Host: h\r\nHost: h",
        "twice, different": b"Host: h\r\nHost: smuggled",
        "twice, another case": b"Host: h\r\nhOST: smuggled",
        "folded": b"Host: h\r\n smuggled",
        "space before the colon": b"Host : h",
        "with a path": b"Host: h/smuggled",
        "with a query": b"Host: h?smuggled",
        "with a fragment": b"Host: h#smuggled",
        "with userinfo": b"Host: user@h",
        "with a scheme": b"Host: http://h",
        "with a space": b"Host: h smuggled",
        "with a tab": b"Host: h\tsmuggled",
        "with a comma": b"Host: h,smuggled",
        "with a comma and a space": b"Host: h, smuggled",
        "with a backslash": b"Host: h\\smuggled",
        "with a quote": b'Host: "h"',
        "with angle brackets": b"Host: <h>",
        "with NUL": b"Host: h\x00",
        "not ASCII": b"Host: h\xc3\xb6st",
        "with an odd port": b"Host: h:x",
        "with a negative port": b"Host: h:-1",
        "with a long port": b"Host: h:123456789",
        "with two ports": b"Host: h:80:80",
        "only a port": b"Host: :80",
        "open bracket": b"Host: [::1",
        "bracket and more": b"Host: [::1]x",
    }
    line = b"GET " + PATH + b" HTTP/1.1\r\n"
    table: dict[str, Any] = {name: line + field + b"\r\n\r\n" + MARKER for name, field in refused.items()}
    table["absolute form, no Host"] = b"GET http://h" + PATH + b" HTTP/1.1\r\n\r\n" + MARKER
    for name, host in {"IPv6": b"[::1]:8080", "IPv4": b"127.0.0.1", "port": b"h:80", "underscore": b"a_b"}.items():
        table[f"good: {name}"] = {"sent": (line + b"Host: " + host + b"\r\n\r\n",), **_SERVED} | {
            "fields": {b"x-forwarded-host": [host]}
        }
    table["absolute form, another Host"] = {
        "sent": (b"GET http://elsewhere" + PATH + b" HTTP/1.1\r\nHost: h\r\n\r\n",),
        "outcome": EITHER,
    }
    return table


def _forwarded() -> dict[str, Any]:
    length = b"Content-Length: %d" % len(MARKER)
    kept = {"sent": (request(length, b"Connection: x-request-id, content-length", body=MARKER),)}
    return {
        "X-Forwarded-For": _served(b"X-Forwarded-For: 6.6.6.6", fields={b"x-forwarded-for": [b"127.0.0.1"]}),
        "X-Forwarded-For twice": _served(
            b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-for: 7.7.7.7", fields={b"x-forwarded-for": [b"127.0.0.1"]}
        ),
        "X-Forwarded-Host": _served(b"X-Forwarded-Host: evil", fields={b"x-forwarded-host": [b"h"]}),
        "X-Forwarded-Proto": _served(b"X-Forwarded-Proto: https", fields={b"x-forwarded-proto": [b"http"]}),
        "names authorization": _served(
            b"Authorization: Bearer x", b"Connection: authorization", fields={b"authorization": []}
        ),
        "names content-length": kept | {"outcome": EITHER, "bodies": (MARKER,)},
        "names transfer-encoding": {
            "sent": (
                request(b"Transfer-Encoding: chunked", b"Connection: transfer-encoding", body=b"1\r\nx\r\n0\r\n\r\n"),
            ),
            "outcome": EITHER,
            "bodies": (b"x",),
        },
        "names what the gateway adds": _served(
            b"Connection: X-Forwarded-For, x-forwarded-host, Via, Host, X-Request-Id, traceparent",
            fields={b"x-forwarded-for": [b"127.0.0.1"], b"x-forwarded-host": [b"h"]},
        ),
        "names itself": _served(b"Connection: connection, keep-alive", fields={b"connection": []}),
        "closes and names": {
            "sent": (request(b"Connection: close, X-Forwarded-For", method=b"GET") + MARKER,),
            **_SERVED,
            "fields": {b"x-forwarded-for": [b"127.0.0.1"]},
        },
        "Keep-Alive and Proxy-Connection": _served(
            b"Keep-Alive: timeout=9",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: Basic x",
            fields={b"keep-alive": [], b"proxy-connection": [], b"proxy-authorization": []},
        ),
        "Via of others": _served(b"Via: 1.1 other"),
        "Via of our own": _served(b"Via: 1.1 kyma-proxy"),
        "Forwarded": _served(b'Forwarded: for="_x";host=evil'),
        "request id with spaces": _served(b"X-Request-Id: a b"),
        "request id of 9 kB": request(b"X-Request-Id: " + b"a" * 9000),
        "rewritten target": _served(b"X-Original-URL: /admin", b"X-Rewrite-URL: /admin"),
        "other method": _served(b"X-HTTP-Method-Override: DELETE"),
        "traceparent that is none": _served(b"traceparent: 00-zz-zz-01"),
        "TE": _served(b"TE: trailers, chunked;q=1", b"Connection: TE"),
        "Trailer": _served(b"Trailer: Content-Length"),
    }


HEADS: Final[list[Case]] = [
    *cases_of("header", _header_lines()),
    *cases_of("request line", _request_lines()),
    *cases_of("target", _targets()),
    *cases_of("host", _hosts()),
    *cases_of("forwarded", _forwarded()),
]
