"""A page in a browser that asks the gateway directly, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

PAGE = "https://app.example.com"
CORS = f'cors: {{origins: ["{PAGE}"]}}'
SPEECH = {"model": "minimax-speech-turbo", "input": "Mind the gap.", "voice": "English_Graceful_Lady"}


@pytest.fixture
async def world(make_world: Any) -> Any:
    return await make_world(server=CORS)


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/audio/voice-clone", "/v1/audio/voices"])
async def test_preflights_are_answered_here(world: Any, path: str) -> None:
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await world.request("OPTIONS", path, headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    refused = await world.request("OPTIONS", path, headers={**headers, "Origin": "https://evil.example"})
    assert (refused.status, refused.code) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert not world.origin.calls


@pytest.mark.parametrize("stream", [False, True])
async def test_answers_of_every_kind_may_be_read_by_the_page(world: Any, stream: bool) -> None:
    key = {"Authorization": f"Bearer {world.api_key}", "Origin": PAGE}
    spoken = await world.request("POST", "/v1/audio/speech", json={**SPEECH, "stream": stream}, headers=key)
    refused = await world.request("POST", "/v1/audio/speech", json=SPEECH, headers={"Origin": PAGE})
    wrong = await world.request("GET", "/v1/audio/voice-clone", headers=key)
    forwarded = await world.request("GET", "/v1/audio/voices", headers=key)
    outside = await world.request("GET", "/nowhere", headers=key)
    answers = (spoken, refused, wrong, forwarded, outside)
    assert [answer.status for answer in answers] == [200, 401, 405, forwarded.status, 404]
    for answer in answers:
        assert answer.headers.getall("Access-Control-Allow-Origin") == [PAGE]
        assert "Origin" in answer.headers.getall("Vary")
        assert "X-Kyma-Balance-USD" in answer.headers["Access-Control-Expose-Headers"]


async def test_an_options_request_that_is_no_preflight_is_forwarded(world: Any) -> None:
    await world.request("OPTIONS", "/v1/audio/speech", headers={"Origin": PAGE})
    assert [call.path for call in world.origin.calls] == ["/v1/audio/speech"]


async def test_what_an_origin_says_of_it_is_replaced_only_where_it_is_on(world: Any, make_world: Any) -> None:
    async def theirs(request: web.BaseRequest) -> web.Response:
        return web.Response(headers={"Access-Control-Allow-Origin": "*", "Vary": "Accept"})

    server = await asyncio.get_running_loop().create_server(web.Server(theirs), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        for server_config, expected in ((CORS, [PAGE]), ("", ["*"])):
            made = await make_world(server=server_config, origin_fields=f'base_url: "http://127.0.0.1:{port}"')
            answer = await made.request("GET", "/v1/audio/voices", headers={"Origin": PAGE})
            assert answer.headers.getall("Access-Control-Allow-Origin") == expected
    finally:
        server.close()
