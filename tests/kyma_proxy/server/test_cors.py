"""What browsers are told."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Reply
from kyma_proxy.server.cors import Cors
from kyma_proxy.settings import CorsSettings
from kyma_proxy.testing.flows import make_flow

PAGE = "https://app.example.com"


def cors(**fields: Any) -> Cors:
    return Cors(CorsSettings(**{"origins": (PAGE,), **fields}))


def asked(origin: str | None) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({} if origin is None else {"Origin": origin}))


def preflight(made: Cors, origin: str = PAGE, **more: str) -> Reply | None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", **more}
    return made.preflight(make_flow("OPTIONS", "/v1/audio/speech", headers=headers))


def test_a_preflight_is_answered_with_what_was_asked_for() -> None:
    reply = preflight(cors(), **{"Access-Control-Request-Headers": "authorization, x-stainless-os"})
    assert reply is not None
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Headers"] == "authorization, x-stainless-os"
    assert reply.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    assert reply.headers["Access-Control-Max-Age"] == "600"
    listed = preflight(cors(headers=("Authorization",)), **{"Access-Control-Request-Headers": "x-other"})
    assert listed is not None
    assert listed.headers["Access-Control-Allow-Headers"] == "Authorization"


def test_other_pages_are_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        preflight(cors(), origin="https://evil.example")
    assert caught.value.code is ErrorCode.ORIGIN_NOT_ALLOWED


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("OPTIONS", "/v1/audio/speech", {"Origin": PAGE}),
        ("OPTIONS", "/v1/audio/speech", {"Access-Control-Request-Method": "POST"}),
        ("POST", "/v1/audio/speech", {"Origin": PAGE, "Access-Control-Request-Method": "POST"}),
        ("OPTIONS", "/v1/chat", {"Origin": PAGE, "Access-Control-Request-Method": "POST"}),
    ],
)
def test_what_is_no_preflight_goes_on(method: str, path: str, headers: dict[str, str]) -> None:
    assert cors().preflight(make_flow(method, path, headers=headers)) is None


@pytest.mark.parametrize("forwarded", [False, True])
def test_an_answer_tells_its_page_and_nobody_else(forwarded: bool) -> None:
    def dressed(made: Cors, origin: str | None) -> CIMultiDict[str]:
        theirs = {"Access-Control-Allow-Origin": "*", "Access-Control-Max-Age": "1"} if forwarded else {}
        reply = Reply(200, CIMultiDict({"Vary": "Accept", **theirs}), forwarded=forwarded)
        made.dress(reply, asked(origin))
        return reply.headers

    headers = dressed(cors(), PAGE)
    assert headers.getall("Access-Control-Allow-Origin") == [PAGE]
    assert "X-Request-Id" in headers["Access-Control-Expose-Headers"]
    assert headers.getall("Vary") == ["Accept", "Origin"]
    assert "Access-Control-Allow-Credentials" not in headers
    for origin in ("https://evil.example", None):
        headers = dressed(cors(), origin)
        assert not [name for name in headers if name.startswith("Access-Control")]
        assert headers.getall("Vary") == ["Accept", "Origin"]
    headers = dressed(cors(origins=("*",)), "https://any.example")
    assert (headers.getall("Access-Control-Allow-Origin"), headers.getall("Vary")) == (["*"], ["Accept"])
    headers = dressed(cors(credentials=True), PAGE)
    assert (headers["Access-Control-Allow-Origin"], headers["Access-Control-Allow-Credentials"]) == (PAGE, "true")


@pytest.mark.parametrize("present", ["Origin", "accept, ORIGIN", "*"])
def test_vary_is_not_said_twice(present: str) -> None:
    reply = Reply(200, CIMultiDict({"Vary": present}))
    cors().dress(reply, asked(PAGE))
    assert reply.headers.getall("Vary") == [present]
