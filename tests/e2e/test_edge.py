"""Around the guarded endpoint: spellings, upgrades, forwarding, health, a database that goes away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kyma_proxy.simulators.sample import sample_recording

CLONE_PATH = "/v1/audio/voice-clone"


async def raw(world: Any, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are and read until the gateway closes, at most five seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.application.data.port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
    await writer.drain()
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def request(world: Any, target: str, method: str = "POST", *more: str) -> str:
    return "\n".join([f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *more])


@pytest.mark.parametrize(
    "target",
    [
        CLONE_PATH,
        f"{CLONE_PATH}/",
        "/v1//audio/voice-clone",
        "/v1/audio/voice%2dclone",
        "/v1/audio/%76oice-clone",
        f"{CLONE_PATH};x=1",
        f"http://elsewhere{CLONE_PATH}",
        f"{CLONE_PATH}?a=1",
    ],
)
async def test_every_spelling_of_the_path_asks_for_a_key(world: Any, target: str) -> None:
    answer = await raw(world, request(world, target, "POST", "Content-Length: 0"))
    assert b" 401 " in answer.split(b"\r\n")[0]
    assert not world.origin.calls


@pytest.mark.parametrize(
    "target",
    [
        "/v1/audio/Voice-Clone",
        "/v1/audio%2Fvoice-clone",
        "/v1/audio/voice%252dclone",
        "/v1/audio/x/../voice-clone",
        "/v1/audio/x/%2e%2e/voice-clone",
        "/v1/audio\\voice-clone",
        "/v1/audio/x%5c..%5cvoice-clone",
        "/v1/audio/voice-clone%00",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
async def test_a_disguise_of_the_path_is_refused_for_every_method(world: Any, target: str, method: str) -> None:
    answer = await raw(world, request(world, target, method, "Content-Length: 0"))
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert not world.origin.calls


async def test_the_guarded_endpoint_does_not_switch_protocols(world: Any) -> None:
    more = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
    head = "\n".join([f"GET {CLONE_PATH} HTTP/1.1", "Host: x", *more])
    assert b" 400 " in (await raw(world, head)).split(b"\r\n")[0]
    assert not world.origin.calls


async def test_other_audio_endpoints_reach_the_origin_as_they_were_sent(world: Any) -> None:
    answer = await world.request(
        "GET", "/v1/audio/voices?limit=%32&x", headers={"Authorization": "Bearer ky-the-origins-own"}
    )
    assert (answer.status, answer.fields["object"]) == (200, "list")
    (call,) = world.origin.calls
    assert call.target.startswith("/v1/audio/voices?limit=")
    assert ("Authorization", "Bearer ky-the-origins-own") in call.headers


async def test_options_of_the_guarded_path_is_the_origins(world: Any) -> None:
    await world.request("OPTIONS", CLONE_PATH, headers={"Origin": "https://app.example"})
    assert [call.method for call in world.origin.calls] == ["OPTIONS"]


async def test_an_origin_that_is_away_is_502(world: Any) -> None:
    await world.origin.stop()
    answer = await world.request("GET", "/v1/audio/voices")
    assert (answer.status, answer.code) == (502, "upstream_unreachable")


@pytest.mark.parametrize("path", ["/", "/v1/audio", "/v1/chat/completions", "/healthz", "/metrics", "/readyz"])
async def test_nothing_else_is_served_on_the_data_plane(world: Any, path: str) -> None:
    answer = await world.request("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_health_readiness_and_metrics_are_on_the_admin_listener(world: Any) -> None:
    await world.clone(sample_recording())
    for path in ("/healthz", "/readyz"):
        async with world.http.get(world.admin_url + path) as answer:
            assert answer.status == 200
    async with world.http.get(f"{world.admin_url}/metrics") as answer:
        text = await answer.text()
    assert f'kyma_requests_total{{method="POST",route="{CLONE_PATH}",status="200"}} 1.0' in text


async def test_a_revoked_key_stops_working_within_two_seconds(world: Any) -> None:
    assert (await world.clone(None)).status == 400
    await world.application.database.execute("UPDATE api_keys SET revoked_at = now()")
    async with asyncio.timeout(2):
        while (await world.clone(None)).status != 401:
            await asyncio.sleep(0.05)


async def test_a_crash_in_a_plugin_is_500_and_forwards_nothing(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_arguments: Any, **_more: Any) -> Any:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("kyma_voice_clone.plugin.receive_form", crash)
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert answer.headers["x-should-retry"] == "false"
    assert not world.origin.calls
    await world.require_untouched()


async def test_a_busy_pool_is_503_and_never_401(make_world: Any) -> None:
    world = await make_world()
    release = asyncio.Event()

    async def hold(_connection: Any) -> None:
        await release.wait()

    loop = asyncio.get_running_loop()
    holders = [loop.create_task(world.application.database.borrow(hold)) for _ in range(8)]
    await asyncio.sleep(0.1)
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (503, "unavailable", "true")
    release.set()
    await asyncio.gather(*holders)
    assert (await world.clone(sample_recording())).status == 200


async def test_every_answer_of_ours_says_whether_to_retry(world: Any) -> None:
    for answer in (await world.request("GET", "/"), await world.clone(None), await world.request("POST", CLONE_PATH)):
        assert answer.headers["x-should-retry"] in ("true", "false")
        assert answer.headers["x-request-id"]
        assert set(json.loads(answer.body)["error"]) == {"message", "type", "code"}
