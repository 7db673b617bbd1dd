"""Ways around the guard by what is around a body: codings, targets, framing, credentials."""

from __future__ import annotations

import gzip
import json
import zlib
from urllib.parse import quote

from e2e_kit.bypass_bodies import Attempts
from e2e_kit.speech_wire import AT_MINIMAX, FORWARDED, JSON, SPEECH, Names, body_of, head, post

_SAME_PATH = """
    /v1/audio/speech/ /v1//audio/speech //v1/audio/speech /v1/audio/speech// /v1/audio/speec%68 /v1/audio/%73peech
    /%76%31/audio/speech /v1/audio/speech;x=1 /v1;x/audio/speech /v1/audio/speech/;x
    /v1/audio/speech? /v1/audio/speech?x
    http://gateway/v1/audio/speech HTTP://elsewhere/v1/audio/speech https://elsewhere:1/v1/audio/speech/
"""
_LOOK_ALIKES = r"""
    /v1/audio/Speech /V1/AUDIO/SPEECH /v1/audio%2Fspeech /v1/audio%2fspeech /v1%2Faudio%2Fspeech /v1/audio/speech%2F
    /v1/audio/speec%2568 /v1/audio/%2573peech /v1/audio%252Fspeech /v1/audio%5Cspeech /v1/audio/.%2Fspeech
    /v1/audio/./speech /v1/audio/x/../speech /v1/audio/%2e/speech /v1/audio/x/%2e%2e/speech /v1/audio/..;/audio/speech
    /v1/audio/speech%00 /v1/audio/speech%20 /v1/audio/speech%0a /v1/audio/speech%3Fx /v1/audio/speech%23x
    /v1/audio/speech#x /v1/audio/speech%3bx /v1/audio\speech
"""
_QUERIES = """
    voice_id={minted} voice={minted} x={minted} {minted} {minted}=1 a=1;voice={minted} voice[id]={minted}
    voice={own}&voice={minted} voice=%6b{rest} voice=%256b{rest} voice=+{minted}+ &&&voice_id={minted}&&&
    voice_id=={minted} voice={adopted} voice={form} voice=%20{adopted}%0a voice_setting={setting}
"""
_METHODS = "GET HEAD PUT PATCH DELETE QUERY SEARCH LINK TRACE"
_NO_METHODS = "post Post POSTS"


def codings(names: Names) -> Attempts:
    """Bodies that are not what their headers say, and codings nobody asked for."""
    good, own = body_of(voice=names.minted), body_of(voice=names.own)
    packed, packed_own = gzip.compress(good), gzip.compress(own)
    for types in ("text/plain", "application/octet-stream", "audio/mpeg", "multipart/form-data; boundary=x", "", "*/*"):
        yield f"type {types!r}", post(names, good, f"Content-Type: {types}"), 403
    for charset in ("utf-16", "latin1", "utf-7", "'utf-8'", "ibm037", ""):
        yield f"charset {charset!r}", post(names, own, f"Content-Type: application/json; charset={charset}"), 400
    yield "no type", post(names, good), 403
    yield "two types", post(names, good, "Content-Type: text/plain", JSON), 400
    form = f"model={FORWARDED}&input=Hi&voice_id={names.minted}".encode()
    yield "a form", post(names, form, "Content-Type: application/x-www-form-urlencoded"), 400
    disguised = body_of(voice=names.own, input=f"&voice_id={quote(names.adopted)}&x=")
    yield "a form in JSON", post(names, disguised, "Content-Type: application/x-www-form-urlencoded"), 403
    part = f'--x\r\nContent-Disposition: form-data; name="voice_id"\r\n\r\n{names.minted}\r\n--x--\r\n'.encode()
    yield "a multipart form", post(names, part, "Content-Type: multipart/form-data; boundary=x"), 400
    for coding in ("br", "deflate", "zstd", "compress", "x-gzip", "gzip, gzip", "gzip, identity", "utf-8", ""):
        yield f"coding {coding!r}", post(names, packed_own, JSON, f"Content-Encoding: {coding}"), 415
    yield "two codings", post(names, packed_own, JSON, "Content-Encoding: gzip", "Content-Encoding: gzip"), 415
    yield (
        "two codings, one identity",
        post(names, own, JSON, "Content-Encoding: identity", "Content-Encoding: gzip"),
        415,
    )
    for how, content, status in (
        ("packed", packed, 403),
        ("a bomb", gzip.compress(b" " * 20_000_000 + good), 413),
    ):
        yield f"gzip: {how}", post(names, content, JSON, "Content-Encoding: gzip"), status
    damaged = {
        "packed twice": gzip.compress(packed),
        "two members": packed_own + packed,
        "two members, the other way": packed + packed_own,
        "something behind": packed_own + good,
        "cut short": packed_own[:-4],
        "a wrong checksum": packed_own[:-8] + bytes(8),
        "zlib instead": zlib.compress(own),
        "not packed": own,
        "nothing": b"",
    }
    for how, content in damaged.items():
        yield f"gzip: {how}", post(names, content, JSON, "Content-Encoding: gzip"), 400
    yield "packed without saying so", post(names, packed, JSON), 400


def targets(names: Names) -> Attempts:
    """Other spellings of the path, voices in the query, other methods."""
    good, own = body_of(voice=names.minted), body_of(voice=names.own)
    for spelled, status in ((_SAME_PATH, 403), (_LOOK_ALIKES, 400)):
        for target in spelled.split():
            yield f"target {target}", post(names, good, JSON, target=target), status
    minted, adopted = names.minted, names.adopted
    setting = quote(json.dumps({"voice_id": adopted}))
    queries = _QUERIES.format(
        own=names.own,
        minted=minted,
        rest=minted[1:],
        adopted=quote(adopted),
        form=adopted.replace(" ", "+"),
        setting=setting,
    )
    for query in queries.split():
        yield f"query {query}", post(names, own, JSON, target=f"{SPEECH}?{query}"), 403
    yield "parameters in the path", post(names, own, JSON, target=f"{SPEECH};voice_id={minted}"), 403
    for methods, status in ((_METHODS, 405), (_NO_METHODS, 400)):
        for method in methods.split():
            yield f"method {method}", post(names, good, JSON, method=method), status
    yield "method in a header", post(names, good, JSON, "X-HTTP-Method-Override: POST", method="GET"), 405
    yield "path in a header", post(names, good, JSON, f"X-Original-URL: {SPEECH}", target="/v1/audio/speech/"), 403


def framing(names: Names) -> Attempts:
    """Bodies that end where they should not, and requests behind requests."""
    good, own = body_of(voice=names.minted), body_of(voice=names.own)
    key = f"Authorization: Bearer {names.key}"
    chunked = "Transfer-Encoding: chunked"

    def chunks(content: bytes, size: int) -> bytes:
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)

    start = head("POST", SPEECH, key, JSON, chunked)
    yield "chunked", start + chunks(good, 1000) + b"0\r\n\r\n", 403
    yield "chunked byte by byte", start + chunks(good, 1) + b"0\r\n\r\n", 403
    yield "chunked with extensions", start + b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(good), good), 403
    yield "chunked with trailers", start + chunks(good, 7) + f"0\r\nX-Voice: {names.own}\r\n\r\n".encode(), 403
    yield (
        "chunked and too large",
        start + chunks(body_of(voice=names.own, input="x" * 1_100_000), 65536) + b"0\r\n\r\n",
        413,
    )
    yield "chunked and broken", start + chunks(good, 9) + b"zz\r\n", 400
    yield (
        "chunked twice",
        head("POST", SPEECH, key, JSON, "Transfer-Encoding: chunked, chunked") + chunks(good, 99),
        400,
    )
    yield (
        "both lengths",
        head("POST", SPEECH, key, JSON, chunked, "Content-Length: 5") + chunks(good, 99) + b"0\r\n\r\n",
        400,
    )
    yield (
        "two lengths",
        head("POST", SPEECH, key, JSON, "Content-Length: 2", f"Content-Length: {len(good)}") + good,
        400,
    )
    yield "a length with a sign", head("POST", SPEECH, key, JSON, f"Content-Length: +{len(good)}") + good, 400
    yield "HTTP/1.0", head("POST", SPEECH, key, JSON, f"Content-Length: {len(good)}", version="1.0") + good, 403
    yield "HTTP/2.0", head("POST", SPEECH, key, JSON, f"Content-Length: {len(good)}", version="2.0") + good, 400
    yield "an expectation", post(names, good, JSON, "Expect: 100-continue"), 403
    yield "another expectation", post(names, good, JSON, "Expect: 200-ok"), 400
    yield "an upgrade", post(names, good, JSON, "Upgrade: websocket", "Sec-WebSocket-Key: x"), 403
    yield "a connection that names headers", post(names, good, JSON, "Connection: Content-Type, Authorization"), 403
    kept = post(names, good, JSON).replace(b"Connection: close\r\n", b"")
    yield "pipelined", kept + kept + post(names, good, JSON), 403
    hidden = post(names, good, JSON)
    yield "a request in a body", post(names, hidden, JSON), 400
    yield "a request behind a short length", head("POST", SPEECH, key, JSON, "Content-Length: 0") + hidden, 400
    yield "a request behind a refusal", kept.replace(b"POST", b"GET", 1) + post(names, good, JSON), 405
    yield "a body cut short", head("POST", SPEECH, key, JSON, f"Content-Length: {len(own) + 9}") + own + b"\n", None


def credentials(names: Names) -> Attempts:
    """Speech without a key that is good."""
    own = body_of(voice=names.own)
    length = f"Content-Length: {len(own)}"
    for header in (
        *(
            "X-Nothing: 1",
            "Authorization: Bearer",
            "Authorization: Bearer ky-unknown",
            f"Authorization: Basic {names.key}",
        ),
        *(f"X-Api-Key: {names.key}", f"Cookie: key={names.key}", f"Authorization: Bearer {names.key}x"),
        *(
            f"Authorization: Bearer {names.key}\r\nAuthorization: Bearer {names.key}",
            f"Proxy-Authorization: Bearer {names.key}",
        ),
    ):
        yield (
            f"with {header.partition(':')[0]}, {len(header)} characters",
            head("POST", SPEECH, JSON, length, header) + own,
            401,
        )
    for model in (AT_MINIMAX, FORWARDED):
        content = body_of(model=model, voice="English_Graceful_Lady")
        yield f"no key, {model}", head("POST", SPEECH, JSON, f"Content-Length: {len(content)}") + content, 401
        keyed = f"{SPEECH}?api_key={names.key}"
        yield f"key in the query, {model}", head("POST", keyed, JSON, f"Content-Length: {len(content)}") + content, 401
