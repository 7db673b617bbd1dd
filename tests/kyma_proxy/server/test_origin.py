from __future__ import annotations

import json
from ipaddress import ip_network

import pytest

from kyma_proxy.flow import Flow, Reply

LOOPBACK = ip_network("127.0.0.0/8")
INNER = ip_network("10.0.0.0/8")


async def describe(flow: Flow) -> Reply:
    return Reply.json(json.dumps([flow.client_address, flow.scheme, flow.host]).encode())


@pytest.mark.parametrize(
    ("trusted", "sent", "origin"),
    [
        ((), b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n", ["127.0.0.1", "http", "h"]),
        ((INNER,), b"X-Forwarded-For: 1.2.3.4\r\n", ["127.0.0.1", "http", "h"]),
        ((LOOPBACK,), b"", ["127.0.0.1", "http", "h"]),
        (
            (LOOPBACK,),
            b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: outer\r\n",
            ["1.2.3.4", "https", "outer"],
        ),
        ((LOOPBACK,), b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", ["1.2.3.4", "http", "h"]),
        ((LOOPBACK, INNER), b"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1\r\n", ["1.2.3.4", "http", "h"]),
        ((LOOPBACK, INNER), b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\n", ["1.2.3.4", "http", "h"]),
        ((LOOPBACK,), b"X-Forwarded-For: 1.2.3.4, junk\r\nX-Forwarded-Proto: gopher\r\n", ["127.0.0.1", "http", "h"]),
        ((LOOPBACK,), b"X-Forwarded-For: 2001:db8::1\r\n", ["2001:db8::1", "http", "h"]),
    ],
)
async def test_forwarded_headers_are_believed_from_trusted_peers_only(serve, trusted, sent, origin) -> None:
    edge = await serve(describe, trusted_proxies=trusted)
    answer = await edge.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n" + sent + b"\r\n")
    assert json.loads(answer.body) == origin
