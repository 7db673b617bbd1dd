import asyncio
import errno
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from kyma_proxy.simulators.origin import Fault, OriginSimulator
from kyma_proxy.simulators.origin.routes import OPERATIONS

VOICES = "/v1/audio/voices"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic x"}, {"Authorization": "Bearer "}])
async def test_everything_needs_a_key(caller, method, path, headers) -> None:
    assert (await caller.send(method, path, key=None, headers=headers)).error == (401, "auth_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/audio/nothing"), ("GET", "/"), ("DELETE", VOICES + "/x"), ("POST", "/v1/audio/voice-clone")],
)
async def test_what_is_not_documented_is_404_in_the_envelope(caller, method, path) -> None:
    assert (await caller.send(method, path, key=None)).error == (404, "not_found")


async def test_options_and_head(caller) -> None:
    told = await caller.send("OPTIONS", "/v1/audio/voice-clone", key=None)
    head = await caller.send("HEAD", VOICES)
    full = await caller.send("GET", VOICES)

    assert (told.status, told.headers["Allow"], told.body) == (204, "POST, OPTIONS", b"")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(full.body)
    assert (await caller.send("OPTIONS", "/v1/audio/nothing", key=None)).error == (404, "not_found")


async def test_server_and_date_are_its_own(caller) -> None:
    headers = (await caller.send("GET", VOICES)).headers

    assert headers["Server"] == "kyma-origin"
    assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - time.time()) < 5
    assert "Set-Cookie" not in headers


async def test_a_call_is_recorded_byte_for_byte(origin) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
    writer.write(
        b"GET /v1/audio/%76oices?a=%2F&a=b+c HTTP/1.1\r\nHost: h\r\nauthorization: bearer k\r\nX-A: 1\r\nx-a: \xe9\r\n"
        b"Connection: close\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 200 ")
    (call,) = origin.calls
    assert (call.method, call.target, call.path) == ("GET", "/v1/audio/%76oices?a=%2F&a=b+c", VOICES)
    assert call.headers[1:4] == [("authorization", "bearer k"), ("X-A", "1"), ("x-a", "\xe9")]
    assert (call.reply_status, call.reply_complete) == (200, True)


async def test_a_call_is_seen_while_its_body_comes_in(caller, origin) -> None:
    more = asyncio.Event()

    async def body():
        yield b'{"input": "Hi", '
        await more.wait()
        yield b'"voice_id": "x"}'

    sending = asyncio.create_task(caller.send("POST", "/v1/audio/speech", data=body()))
    call = await origin.wait_for_call("/v1/audio/speech")
    async with asyncio.timeout(5):
        while not call.body_bytes:
            await asyncio.sleep(0.005)

    assert (call.body_bytes, call.body_sha256, call.reply_status) == (16, None, None)
    more.set()
    assert (await sending).status == 200
    assert call.body_sha256


async def test_a_refusal_by_fault_before_and_after_the_charge(caller, origin) -> None:
    fields = {"prompt": "x"}
    origin.inject(Fault(error_code="provider_error"))
    assert (await caller.post("sfx", **fields)).error == (502, "provider_error")
    assert origin.balance_micros("ky-caller") == 100_000_000

    origin.inject(Fault(error_code="rate_limited", moment="after"))
    limited = await caller.post("sfx", **fields)
    assert (limited.status, limited.headers["Retry-After"]) == (429, "2")
    assert origin.balance_micros("ky-caller") == 99_973_000


async def test_headers_of_a_reply_are_replaced_and_doubled(caller, origin) -> None:
    cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    origin.inject(Fault(path=VOICES, headers=(*cookies, ("server", "cloudflare"), ("Date", "then"))))

    headers = (await caller.send("GET", VOICES)).headers

    assert headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert (headers.getall("Server"), headers.getall("Date")) == (["cloudflare"], ["then"])


async def test_a_reset_connection(caller, origin) -> None:
    origin.inject(Fault(reset=True))
    with pytest.raises(aiohttp.ClientOSError) as reset:
        await caller.send("POST", VOICES)

    assert reset.value.errno == errno.ECONNRESET
    assert not origin.calls[0].reply_complete


async def test_a_body_that_trickles_comes_in_pieces(caller, origin) -> None:
    origin.inject(Fault(trickle_bytes=3000, trickle_seconds=0.05))
    headers, fields = {"Authorization": "Bearer k"}, {"input": "Hi", "voice_id": "x"}
    started = time.monotonic()
    async with caller.session.post("/v1/audio/speech", json=fields, headers=headers) as reply:
        assert reply.headers["Transfer-Encoding"] == "chunked"
        first = await reply.content.readany()
        first_seconds = time.monotonic() - started
        rest = await reply.read()

    assert len(first) <= 6000
    assert len(first + rest) == origin.calls[0].reply_bytes > 8000
    assert time.monotonic() - started >= first_seconds + 0.05


@pytest.mark.parametrize("trickle_bytes", [None, 700])
async def test_a_body_that_is_cut(caller, origin, trickle_bytes) -> None:
    origin.inject(Fault(path=VOICES, cut_after_bytes=1000, trickle_bytes=trickle_bytes))
    async with caller.session.get(VOICES, headers={"Authorization": "Bearer k"}) as reply:
        assert reply.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()

    (call,) = origin.calls
    assert (call.reply_bytes, call.reply_complete) == (1000, False)


async def test_a_caller_who_leaves_is_noticed(caller, origin) -> None:
    origin.inject(Fault(trickle_bytes=100, trickle_seconds=0.02))
    reply = await caller.session.get(VOICES, headers={"Authorization": "Bearer k"})
    await reply.content.readany()
    reply.close()
    (call,) = origin.calls
    seen = -1
    async with asyncio.timeout(5):
        while seen != call.reply_bytes:
            seen = call.reply_bytes
            await asyncio.sleep(0.1)

    assert not call.reply_complete
    assert call.reply_bytes < 1000


async def test_a_caller_who_leaves_in_mid_upload(origin) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", origin.port)
    writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
    call = await origin.wait_for_call("/v1/audio/speech")
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)

    assert (call.body_bytes, call.body_sha256, call.reply_status) == (4, None, None)
    async with aiohttp.ClientSession() as session, session.get(origin.base_url) as reply:
        assert reply.status == 404


async def test_stopping_does_not_wait_for_a_stalled_call(caller, origin) -> None:
    origin.inject(Fault(stall_seconds=60))
    stalled = asyncio.create_task(caller.send("GET", VOICES))
    await origin.wait_for_call(VOICES)
    async with asyncio.timeout(5):
        await origin.stop()
    with pytest.raises(aiohttp.ClientError):
        await stalled


async def test_reset_and_repr(caller, origin) -> None:
    await caller.post("voice-design", description="x")
    assert repr(origin) == f"OriginSimulator({origin.base_url}, State(voices=1, calls=1))"

    origin.reset()

    assert (origin.calls, origin.balance_micros("ky-caller")) == ([], 100_000_000)
    assert repr(OriginSimulator()) == "OriginSimulator(stopped, State(voices=0, calls=0))"
