import pytest


async def switch(caller, name: str, body: object = None) -> dict:
    reply = await caller.send("POST", f"/_simulator/{name}", json=body)
    assert reply.status == 200, reply.body
    return reply.json


async def test_an_html_502_over_http(caller) -> None:
    said = await switch(caller, "faults", {"path": "/v1/audio/voices", "http_status": 502})
    assert said["faults"][0]["http_status"] == 502

    broken = await caller.send("GET", "/v1/audio/voices")

    assert (broken.status, broken.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert b"<html>" in broken.body
    assert (await caller.send("GET", "/v1/audio/voices")).status == 200


async def test_behaviour_is_changed_field_by_field(caller, origin) -> None:
    await switch(caller, "behaviour", {"starting_balance_usd": "0.50"})
    await switch(caller, "behaviour", {"server": "cloudflare"})

    assert (origin.behaviour.starting_balance_usd, origin.behaviour.server) == (500_000, "cloudflare")


async def test_state_shows_the_calls_but_no_key(caller) -> None:
    await caller.post("speech", input="Hi", voice_id="x")
    reply = await caller.send("GET", "/_simulator/state")

    (call,) = reply.json["calls"]
    assert (call["method"], call["target"], call["reply_status"]) == ("POST", "/v1/audio/speech", 200)
    assert b"ky-caller" not in reply.body


async def test_reset_forgets(caller, origin) -> None:
    await switch(caller, "faults", {"reset": True, "times": None})

    said = await switch(caller, "reset")

    assert (said["faults"], said["calls"]) == ([], [])
    assert (await caller.send("GET", "/v1/audio/voices")).status == 200


@pytest.mark.parametrize(
    ("name", "body"), [("faults", {"eror_code": "x"}), ("faults", {"error_code": "x"}), ("behaviour", [1])]
)
async def test_what_is_not_understood_is_refused(caller, name, body) -> None:
    assert (await caller.send("POST", f"/_simulator/{name}", json=body)).status == 400
