from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.server import origin as origin_module
from kyma_proxy.server.origin import Origin, claimed_origin

LOOPBACK = ip_network("127.0.0.0/8")
INNER = ip_network("10.0.0.0/8")


PEER = "127.0.0.1"


def claimed(trusted: tuple[Any, ...], *headers: tuple[str, str]) -> Origin:
    """The origin of a request that comes from the loopback address with these headers."""
    connection = make_mocked_request("GET", "/", headers=CIMultiDict([("Host", "h"), *headers]))
    assert connection.transport is not None
    known = {"peername": (PEER, 1)}
    connection.transport.get_extra_info.side_effect = known.get  # type: ignore[attr-defined]
    return claimed_origin(connection, trusted)


@pytest.mark.parametrize(
    ("trusted", "sent", "told"),
    [
        ((), ["1.2.3.4"], PEER),
        ((LOOPBACK,), [], PEER),
        ((LOOPBACK,), ["1.2.3.4"], f"1.2.3.4, {PEER}"),
        ((LOOPBACK,), ["6.6.6.6 ,1.2.3.4", "", "10.0.0.1"], f"6.6.6.6, 1.2.3.4, 10.0.0.1, {PEER}"),
        ((LOOPBACK,), ["junk, ,"], f"junk, {PEER}"),
    ],
)
def test_the_next_hop_is_told_of_trusted_hops_and_the_peer(trusted: Any, sent: list[str], told: str) -> None:
    assert claimed(trusted, *(("X-Forwarded-For", value) for value in sent)).forwarded_for == told


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


def test_an_ipv4_peer_is_one_however_a_listener_on_ipv6_tells_of_it() -> None:
    networks = (ip_network("127.0.0.0/8"),)
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert origin_module._is_in(origin_module._parsed(address), networks)
    assert not origin_module._is_in(origin_module._parsed("::1"), networks)
