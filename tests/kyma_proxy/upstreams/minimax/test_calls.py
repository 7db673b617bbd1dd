"""What every call carries, and that the key is never seen."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import capture_logs

from kyma_proxy.upstreams.errors import TransportError
from kyma_proxy.upstreams.minimax.calls import Calls, Credentials, read_whole, trace_id, without_quotes
from kyma_proxy.upstreams.minimax.errors import meaning_of
from kyma_proxy.upstreams.minimax.wire import Answer
from kyma_proxy.upstreams.transport import IncomingReply, Transport


class Body:
    """The body of an answer, in chunks of ten bytes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self.closed = 0

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if self._left <= 0:
            raise StopAsyncIteration
        self._left -= 10
        return b"x" * min(10, self._left + 10)

    async def aclose(self) -> None:
        self.closed += 1


def reply_of(body: Any = None, headers: tuple[tuple[bytes, bytes], ...] = ()) -> IncomingReply:
    return IncomingReply(200, "OK", headers, body)


def calls_with(quick: Any, group_id: str | None = None) -> Calls:
    transport = Transport("https://api.minimax.test/base", quick)
    return Calls(transport, Credentials(SecretStr("sk-secret"), group_id))


@pytest.mark.parametrize(("group_id", "query"), [(None, ""), ("17 &x", "?GroupId=17%20%26x")])
def test_a_call_of_json(group_id: str | None, query: str, quick: Any) -> None:
    calls = calls_with(quick, group_id)
    request = calls.json_request("/v1/t2a_v2", {"text": "é"}, 3, accept="text/event-stream")
    assert (request.method, request.target) == ("POST", f"/base/v1/t2a_v2{query}")
    assert (request.first_byte_seconds, request.repeatable) == (3, False)
    assert dict(request.headers) == {
        "Host": "api.minimax.test",
        "Authorization": "Bearer sk-secret",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "kyma-proxy",
        "Content-Type": "application/json",
        "Content-Length": str(len(b'{"text":"\\u00e9"}')),
    }
    assert "sk-secret" not in f"{request!r}{calls!r}{vars(calls)}"


@pytest.mark.parametrize(("group_id", "query"), [(None, ""), ("17 &x", "&GroupId=17%20%26x")])
def test_a_lookup(group_id: str | None, query: str, quick: Any) -> None:
    request = calls_with(quick, group_id).lookup("/v1/files/list", {"purpose": "voice clone"}, 3)
    assert (request.method, request.target) == ("GET", f"/base/v1/files/list?purpose=voice%20clone{query}")
    assert (request.first_byte_seconds, request.repeatable, request.body) == (3, False, None)
    assert dict(request.headers) == {
        "Host": "api.minimax.test",
        "Authorization": "Bearer sk-secret",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "kyma-proxy",
    }


@pytest.mark.parametrize(
    ("code", "event", "level"),
    [
        (1004, "provider_operator_fault", "error"),
        (2056, "provider_operator_fault", "error"),
        (1002, "provider_call_failed", "warning"),
    ],
)
def test_a_refusal_in_the_log(code: int, event: str, level: str, quick: Any) -> None:
    answer = Answer(meaning=meaning_of(code), code=code, message="login fail: sk-secret is unknown")
    structlog.reset_defaults()
    with capture_logs() as logs:
        message = calls_with(quick).log_refusal(answer, {"call": "/v1/x"})
    (line,) = logs
    assert (line["event"], line["log_level"], line["call"], line["code"]) == (event, level, "/v1/x", code)
    assert line["message"] == message == "login fail: [key] is unknown"


def test_the_trace_id_is_found_under_both_names() -> None:
    assert trace_id(reply_of(headers=((b"X-Trace-Id", b"a"),))) == "a"
    assert trace_id(reply_of(headers=((b"content-type", b"a"), (b"TRACE-ID", b"b")))) == "b"
    assert trace_id(reply_of()) is None


async def test_a_whole_answer_has_a_limit_and_is_closed() -> None:
    body = Body(25)
    assert await read_whole(reply_of(body), 25) == b"x" * 25
    assert body.closed == 1
    body = Body(26)
    with pytest.raises(TransportError, match="over 25 bytes"):
        await read_whole(reply_of(body), 25)
    assert body.closed == 1


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("invalid params: text 'Mind the gap, please.' is bad", "invalid params: text '[text]' is bad"),
        ("Mind the gap, ple", "[text]"),
        ("Mind the ga", "Mind the ga"),
        ("Mind the gap, Mind the gap, pl", "[text][text]"),
        ("", ""),
        ("insufficient balance", "insufficient balance"),
    ],
)
def test_what_a_client_said_is_masked_where_a_provider_quotes_it(message: str, masked: str) -> None:
    assert without_quotes(message, "Mind the gap, please.") == masked
