"""From a parsed request to a Flow, or a refusal where HTTP leaves two readings open."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.web import BaseRequest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, RequestTarget
from kyma_proxy.heads import names_websocket
from kyma_proxy.identifiers import hex_identifier
from kyma_proxy.pipeline.paths import canonical_path
from kyma_proxy.server.body import BodyPace, IncomingBody
from kyma_proxy.server.connection import client_connected
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.server.origin import claimed_origin
from kyma_proxy.server.turns import Turns

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ABSOLUTE_FORM: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::[0-9]{0,5})?")
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")
_LENGTH_DIGITS_MAX: Final = 18  # the parser takes 2^64 - 1 for no length at all
_ALLOW: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def request_id_of(request: BaseRequest) -> str:
    """The client's `x-request-id` if it is 1 to 128 plain characters, else a new one."""
    sent = request.headers.getall("X-Request-Id", [])
    return sent[0] if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]) else new_request_id()


def new_request_id() -> str:
    """`req_` and 24 hexadecimal digits."""
    return "req_" + hex_identifier(24)


def loggable_path(request: BaseRequest) -> str:
    """A request's path as sent, without its query, short enough for a log line."""
    return request.raw_path.partition("?")[0][:256]


def read_request(request: BaseRequest, request_id: str, options: ListenerOptions, turns: Turns) -> Flow:
    """The Flow of a request whose head is complete; its body is not touched.

    Raises GatewayError INVALID_REQUEST or METHOD_NOT_ALLOWED for what the contract's fixed points refuse at the edge:
    other versions than 1.0 and 1.1, ambiguous framing, CONNECT, TRACE, `*`, targets with `#` or non-ASCII bytes.
    """
    _refuse_version(request)
    _refuse_method(request)
    _refuse_host(request)
    expects_continue = _expects_continue(request)
    content_length = _content_length(request)
    if len(request.raw_path) > options.max_url_bytes:
        message = f"The path with its query may have at most {options.max_url_bytes} bytes."
        raise GatewayError(ErrorCode.URI_TOO_LONG, message)
    target = read_target(request.raw_path)
    origin = claimed_origin(request, options.trusted_proxies)
    pace = BodyPace(options.body_idle_timeout_seconds, options.body_bytes_per_second_min)
    return Flow(
        id=request_id,
        method=request.method,
        target=target,
        headers=request.headers,
        raw_headers=tuple(request.raw_headers),
        body=IncomingBody(request, content_length, pace, expects_continue, turns),
        client_address=origin.address,
        scheme=origin.scheme,
        host=origin.host,
        forwarded_for=origin.forwarded_for,
        wants_websocket=_wants_websocket(request, content_length),
        client_connected=lambda: client_connected(request),
    )


def _refusal(message: str) -> GatewayError:
    # Where the framing is in doubt, so is where the next request begins.
    return GatewayError(ErrorCode.INVALID_REQUEST, message, close_connection=True)


def _refuse_version(request: BaseRequest) -> None:
    if request.version not in (HttpVersion10, HttpVersion11):
        raise _refusal("Only HTTP/1.1 and HTTP/1.0 are spoken here.")


def _refuse_method(request: BaseRequest) -> None:
    if request.method in {"CONNECT", "TRACE"}:
        raise GatewayError(
            ErrorCode.METHOD_NOT_ALLOWED,
            f"{request.method} is not served.",
            headers={"Allow": _ALLOW},
            close_connection=True,
        )


def _refuse_host(request: BaseRequest) -> None:
    # Source: RFC 9112 section 3.2, a 400 for any Host that is not a host and a port. Two of them the parser refuses. A
    # comma may stand in one, but X-Forwarded-Host would then name two.
    host = request.headers.get("Host")
    if host is None and request.version < HttpVersion11:
        return
    if host is None or _HOST.fullmatch(host) is None:
        raise _refusal("The Host header is not a host name with an optional port.")


def _expects_continue(request: BaseRequest) -> bool:
    expectations = request.headers.getall("Expect", [])
    if not expectations or request.version < HttpVersion11:
        return False
    if len(expectations) != 1 or expectations[0].lower() != "100-continue":
        raise _refusal("The only expectation that can be met is `Expect: 100-continue`.")
    return True


def _content_length(request: BaseRequest) -> int | None:
    codings = request.headers.getall("Transfer-Encoding", [])
    lengths = request.headers.getall("Content-Length", [])
    if codings:
        if lengths:
            raise _refusal("A request carries either Content-Length or Transfer-Encoding, not both.")
        if request.version < HttpVersion11:
            raise _refusal("HTTP/1.0 has no Transfer-Encoding.")
        if len(codings) != 1 or codings[0].lower() != "chunked":
            raise _refusal("The only transfer coding is `chunked`.")
        return None
    if not lengths:
        return 0
    if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise _refusal("Content-Length must be one decimal number.")
    if len(lengths[0]) > _LENGTH_DIGITS_MAX:
        raise _refusal(f"Content-Length may have at most {_LENGTH_DIGITS_MAX} digits.")
    return int(lengths[0])


def _wants_websocket(request: BaseRequest, content_length: int | None) -> bool:
    if request.method != "GET" or request.version < HttpVersion11 or not names_websocket(request.headers):
        return False
    if content_length != 0:
        raise _refusal("A request to go on as a WebSocket has no body.")
    return True


def read_target(sent: str) -> RequestTarget:
    """The target of a request line, in absolute form too. Raises GatewayError INVALID_REQUEST."""
    if sent == "*":
        raise _refusal("`*` is not served.")
    if "#" in sent or _UNPRINTABLE.search(sent):
        raise _refusal("The request target must be percent-encoded: no `#`, no control or non-ASCII characters.")
    if not sent.startswith("/"):
        # RFC 9112 section 3.2.2: servers accept the absolute form. Its authority changes nothing here.
        absolute = _ABSOLUTE_FORM.match(sent)
        if absolute is None or _HOST.fullmatch(absolute[1]) is None:
            raise _refusal("The request target must begin with `/`, or with `http://`, a host and a port.")
        sent = sent[absolute.end() :]
        sent = sent if sent.startswith("/") else "/" + sent
    raw_path, mark, query = sent.partition("?")
    return RequestTarget(raw_path, query if mark else None, canonical_path(raw_path))
