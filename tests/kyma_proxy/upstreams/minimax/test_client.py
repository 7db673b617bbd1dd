"""The provider's calls: what is sent, and what each way of failing becomes."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp.client_reqrep import ConnectionKey
from structlog.testing import capture_logs

from kyma_proxy.failpoints import Failpoint
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.minimax.client import AnswerLostError
from kyma_proxy.voices.provider import ProviderError, Recording

RECORDING = Recording(b"ID3" + bytes(1000), "mp3")
PUBLIC = "https://api.minimax.test"


async def failure(call: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    return caught.value


def verdict(error: ProviderError) -> tuple[int | None, bool, bool]:
    return error.code, error.should_retry, error.outcome_known


async def test_an_upload_is_a_form_with_the_key_and_gives_a_64_bit_id(client_of: Any, provider: Any, key: str) -> None:
    client = await client_of(provider.base_url)
    assert await client.upload_file(RECORDING, "kyma_0.mp3") == 318207745120993412
    (path, form), head = provider.calls[0], provider.heads[0]
    assert path == "/v1/files/upload"
    assert f"Authorization: Bearer {key}\r\n" in head
    assert "Transfer-Encoding" not in head
    assert b'name="purpose"\r\n\r\nvoice_clone\r\n' in form
    assert b'name="file"; filename="kyma_0.mp3"\r\n' in form
    assert bytes(RECORDING.data) in form


async def test_a_clone_names_file_and_voice_and_keeps_every_digit(client_of: Any, provider: Any) -> None:
    await (await client_of(provider.base_url)).voice_clone(2**63 - 1, "kyma_0123456789abcdef")
    path, body = provider.calls[0]
    assert (path, body) == ("/v1/voice_clone", b'{"file_id":9223372036854775807,"voice_id":"kyma_0123456789abcdef"}')


async def test_deletions_say_what_kind_of_thing_they_delete(client_of: Any, provider: Any) -> None:
    client = await client_of(provider.base_url)
    await client.delete_voice("kyma_0", "clone")
    await client.delete_file(318207745120993412)
    assert provider.json_of("/v1/delete_voice") == [{"voice_type": "voice_cloning", "voice_id": "kyma_0"}]
    assert provider.json_of("/v1/files/delete") == [{"file_id": 318207745120993412, "purpose": "voice_clone"}]


@pytest.mark.parametrize(("group_id", "query"), [(None, ""), ("17 &x", "?GroupId=17%20%26x")])
async def test_the_group_is_a_query_parameter_and_only_there_if_set(
    group_id: str | None, query: str, client_of: Any, provider: Any
) -> None:
    await (await client_of(provider.base_url, group_id=group_id)).delete_file(1)
    assert provider.calls[0][0] == f"/v1/files/delete{query}"
    assert b"roup" not in provider.calls[0][1]


@pytest.mark.parametrize(
    ("code", "should_retry", "outcome_known"),
    [
        (1000, False, False),
        (1001, False, False),
        (1002, True, True),
        (1004, False, True),
        (1008, False, True),
        (1039, True, True),
        (1041, True, True),
        (2013, False, True),
        (2037, False, True),
        (2038, False, True),
        (2039, False, False),
        (2045, True, True),
        (9999, False, False),
    ],
)
async def test_a_refusal_stands_in_the_envelope_under_http_200(
    code: int, should_retry: bool, outcome_known: bool, client_of: Any, provider: Any
) -> None:
    provider.answers["/v1/voice_clone"] = {"base_resp": {"status_code": code, "status_msg": "why"}}
    client = await client_of(provider.base_url)
    assert verdict(await failure(client.voice_clone(1, "kyma_0"))) == (code, should_retry, outcome_known)


@pytest.mark.parametrize(
    ("status", "body", "should_retry", "outcome_known"),
    [
        (404, b"404 page not found", False, True),
        (429, b'{"type":"error","error":{"type":"rate","message":"m","http_code":"429"}}', True, True),
        (500, b'{"type":"error","error":{"type":"api","message":"m","http_code":"500"}}', False, False),
        (502, b"<html>502 Bad Gateway</html>", False, False),
        (200, b"<html>welcome</html>", False, False),
        (200, b'{"data":null}', False, False),
    ],
)
async def test_an_answer_that_is_no_envelope(
    status: int, body: bytes, should_retry: bool, outcome_known: bool, client_of: Any, provider: Any, spoken: Any
) -> None:
    provider.answers["/v1/voice_clone"] = spoken.raw(b"%d As it is" % status, b"text/html", body)
    error = await failure((await client_of(provider.base_url)).voice_clone(1, "kyma_0"))
    assert verdict(error) == (None, should_retry, outcome_known)
    assert not isinstance(error, AnswerLostError)


CONNECTION_KEY = ConnectionKey("api.minimax.test", 443, True, True, None, None, None, None)


@pytest.mark.parametrize(
    ("exception", "should_retry"),
    [
        (aiohttp.ClientConnectorError(CONNECTION_KEY, ConnectionRefusedError(111, "refused")), True),
        (aiohttp.ClientConnectorDNSError(CONNECTION_KEY, OSError(-2, "no such name")), True),
        (aiohttp.ConnectionTimeoutError("slow"), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_connection_that_cannot_be_made(
    exception: Exception, should_retry: bool, client_of: Any, cut_off: Any
) -> None:
    attempts = cut_off(exception)
    error = await failure((await client_of(PUBLIC)).voice_clone(1, "kyma_0"))
    assert verdict(error) == (None, should_retry, True)
    assert not isinstance(error, AnswerLostError)
    assert len(attempts) == 1  # nothing is sent twice


async def stall(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def close(writer: asyncio.StreamWriter) -> None:
    pass


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"base_resp":')


async def cut_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(40):
        writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("answer", [stall, close, half, cut_chunks, endless])
async def test_an_answer_lost_on_the_way_leaves_the_outcome_open(answer: Any, client_of: Any, provider: Any) -> None:
    provider.answers["/v1/voice_clone"] = answer
    client = await client_of(provider.base_url)
    error = await failure(client.voice_clone(1, "kyma_0"))
    assert verdict(error) == (None, False, False)
    assert isinstance(error, AnswerLostError)
    assert len(provider.calls) == 1


async def test_a_reset_after_the_request_leaves_the_outcome_open(client_of: Any, provider: Any, wire: Any) -> None:
    async def reset(writer: asyncio.StreamWriter) -> None:
        wire.reset(writer)

    provider.answers["/v1/voice_clone"] = reset
    client = await client_of(provider.base_url)
    assert verdict(await failure(client.voice_clone(1, "kyma_0"))) == (None, False, False)


async def test_a_clone_may_take_longer_than_other_calls(client_of: Any, provider: Any) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.45)
        body = b'{"base_resp":{"status_code":0}}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    provider.answers = {"/v1/voice_clone": slow, "/v1/delete_voice": slow}
    client = await client_of(provider.base_url, clone_timeout_seconds=5)
    await client.voice_clone(1, "kyma_0")
    assert (await failure(client.delete_voice("kyma_0", "clone"))).outcome_known is False


async def test_an_upload_without_a_file_id_is_a_failure(client_of: Any, provider: Any) -> None:
    provider.answers["/v1/files/upload"] = {"file": None}
    client = await client_of(provider.base_url)
    assert verdict(await failure(client.upload_file(RECORDING, "kyma_0.mp3"))) == (None, False, False)


@pytest.mark.parametrize(
    ("code", "message", "absent"),
    [
        (2013, "invalid params, voice_id does not exist", True),
        (2013, "invalid params, voice id wrong", True),
        (2054, "voice id not exist", True),
        (2013, "invalid params, voice_type", False),
        (1000, "voice_id", False),
    ],
)
async def test_deleting_a_voice_that_is_not_there(
    code: int, message: str, absent: bool, client_of: Any, provider: Any
) -> None:
    provider.answers["/v1/delete_voice"] = {
        "voice_id": "",
        "description": None,
        "created_time": "",
        "base_resp": {"status_code": code, "status_msg": message},
    }
    client = await client_of(provider.base_url)
    if absent:
        await client.delete_voice("kyma_0", "clone")
    else:
        assert (await failure(client.delete_voice("kyma_0", "clone"))).code == code


@pytest.mark.parametrize(("code", "pages"), [(1004, True), (1008, True), (2049, True), (2037, False), (1002, False)])
async def test_the_operators_faults_page_and_carry_the_trace_id(
    code: int, pages: bool, client_of: Any, provider: Any, key: str
) -> None:
    provider.answers["/v1/voice_clone"] = {"base_resp": {"status_code": code, "status_msg": f"bad key {key}"}}
    client = await client_of(provider.base_url)
    structlog.reset_defaults()
    with capture_logs() as logs:
        error = await failure(client.voice_clone(1, "kyma_0"))
    (line,) = [log for log in logs if log.get("code") == code]
    assert (line["event"], line["log_level"]) == (
        ("provider_operator_fault", "error") if pages else ("provider_call_failed", "warning")
    )
    assert (line["trace_id"], line["call"], line["http_status"]) == ("06a1", "/v1/voice_clone", 200)
    assert key not in f"{logs}{error}{error!r}{error.__cause__!r}{vars(client)}"


async def test_the_key_stands_in_no_failure_of_the_connection(
    client_of: Any, provider: Any, key: str, refused_url: str
) -> None:
    provider.answers["/v1/voice_clone"] = close
    with capture_logs() as logs:
        for url in (provider.base_url, refused_url):
            error: BaseException | None = await failure((await client_of(url)).voice_clone(1, "kyma_0"))
            while error is not None:
                assert key not in f"{error} {error!r} {vars(error)}"
                error = error.__cause__ or error.__context__
    assert key not in str(logs)
    assert {log["event"] for log in logs} == {"provider_call_failed"}


@pytest.mark.parametrize(
    ("code", "message", "absent"),
    [
        (2013, "invalid params, file not found", True),
        (2013, "invalid params, file_id not exist", True),
        (20132, "invalid samples or voice_id", True),
        (2013, "invalid params, purpose", False),
        (1000, "file not found", False),
    ],
)
async def test_deleting_a_file_that_is_not_there(
    code: int, message: str, absent: bool, client_of: Any, provider: Any
) -> None:
    provider.answers["/v1/files/delete"] = {"base_resp": {"status_code": code, "status_msg": message}}
    client = await client_of(provider.base_url)
    if absent:
        await client.delete_file(1)
    else:
        assert (await failure(client.delete_file(1))).code == code


async def test_a_listing_may_be_longer_than_other_answers_but_has_a_limit(client_of: Any, provider: Any) -> None:
    entry = {"file_id": 318207745120993412, "filename": "kyma_0123456789abcdef.mp3", "purpose": "voice_clone"}
    client = await client_of(provider.base_url, group_id="17")
    provider.answers["/v1/files/list"] = {"files": [entry] * 20_000}
    listed = await client.list_files()
    assert set(listed) == {(318207745120993412, "kyma_0123456789abcdef.mp3")}
    assert len(listed) == 20_000
    assert provider.calls == [("/v1/files/list?purpose=voice_clone&GroupId=17", b"")]
    provider.answers["/v1/files/list"] = {"files": [entry] * 50_000}
    assert isinstance(await failure(client.list_files()), AnswerLostError)


CALLS = {
    "UPLOAD": lambda client: client.upload_file(RECORDING, "kyma_0.mp3"),
    "CLONE": lambda client: client.voice_clone(1, "kyma_0"),
    "DELETE": lambda client: client.delete_voice("kyma_0", "clone"),
}


class Rig:
    """Failpoints that remember what was passed, and fail at one of them."""

    def __init__(self, fails_at: Failpoint | None = None, kind: FailureKind = FailureKind.BROKEN) -> None:
        self.fails_at = fails_at
        self.kind = kind
        self.passed: list[Failpoint] = []

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        assert subject is None
        self.passed.append(point)
        if point is self.fails_at:
            raise TransportError(self.kind, "as if")


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_passes_its_two_failpoints(name: str, client_of: Any, provider: Any) -> None:
    rig = Rig()
    await CALLS[name](await client_of(provider.base_url, rig))
    assert rig.passed == [Failpoint[f"{name}_CALL"], Failpoint[f"{name}_ANSWERED"]]
    assert len(provider.calls) == 1


async def test_other_calls_pass_no_failpoint(client_of: Any, provider: Any) -> None:
    rig = Rig()
    client = await client_of(provider.base_url, rig)
    await client.delete_file(1)
    await client.list_files()
    assert (rig.passed, len(provider.calls)) == ([], 2)


@pytest.mark.parametrize("name", CALLS)
async def test_a_fault_at_a_failpoint_is_like_one_of_the_connection(name: str, client_of: Any, provider: Any) -> None:
    before, answered = Failpoint[f"{name}_CALL"], Failpoint[f"{name}_ANSWERED"]
    refused = await failure(CALLS[name](await client_of(provider.base_url, Rig(before, FailureKind.REFUSED))))
    assert verdict(refused) == (None, True, True)
    assert not isinstance(refused, AnswerLostError)
    assert provider.calls == []
    lost = await failure(CALLS[name](await client_of(provider.base_url, Rig(answered))))
    assert verdict(lost) == (None, False, False)
    assert isinstance(lost, AnswerLostError)
    assert len(provider.calls) == 1


@pytest.mark.parametrize("name", CALLS)
async def test_a_refusal_that_was_lost_is_a_lost_answer(name: str, client_of: Any, provider: Any) -> None:
    refused = {"base_resp": {"status_code": 2037, "status_msg": "no"}}
    provider.answers = dict.fromkeys(("/v1/files/upload", "/v1/voice_clone", "/v1/delete_voice"), refused)
    lost = await failure(CALLS[name](await client_of(provider.base_url, Rig(Failpoint[f"{name}_ANSWERED"]))))
    assert verdict(lost) == (None, False, False)


async def test_ten_megabytes_are_uploaded_without_being_copied(client_of: Any, origin: Any, wire: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await wire.read_head(reader)
        left = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        while left:
            left -= len(await reader.read(64 * 1024))
            await asyncio.sleep(0.001)  # slower than the sender, so that what it cannot send would pile up
        body = b'{"file":{"file_id":7},"base_resp":{"status_code":0}}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    client = await client_of((await origin(serve)).base_url)
    recording = Recording(bytes(10 * 1024 * 1024), "wav")
    tracemalloc.start()
    try:
        assert await client.upload_file(recording, "kyma_0.wav") == 7
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1024 * 1024
