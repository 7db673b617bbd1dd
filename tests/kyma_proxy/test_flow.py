"""Flow and reply."""

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Delivery, Reply, WholeBody, read_whole
from kyma_proxy.observe.endings import COMPLETED
from kyma_proxy.testing.flows import BytesBody, make_flow


def test_the_path_of_a_flow_is_the_canonical_one() -> None:
    assert make_flow(path="/v1/audio/voices").path == "/v1/audio/voices"


def test_a_client_counts_as_connected_until_the_edge_says_otherwise() -> None:
    assert make_flow().client_connected()


def test_a_json_reply_says_what_it_is() -> None:
    reply = Reply.json(b"{}", {"X-Kyma-Model": "m"})
    assert (reply.status, reply.headers["content-type"], reply.headers["x-kyma-model"]) == (
        200,
        "application/json",
        "m",
    )


def test_whoever_asked_is_told_once_of_the_end() -> None:
    flow, told = make_flow(), []
    flow.when_ended(told.append)
    flow.when_ended(told.append)
    delivery = Delivery(200, COMPLETED, 7)
    flow.end(delivery)
    flow.end(delivery)
    assert told == [delivery, delivery]


def test_a_callback_that_fails_keeps_no_other_from_its_own() -> None:
    flow, told = make_flow(), []

    def fail(_delivery: Delivery) -> None:
        raise ZeroDivisionError

    for callback in (told.append, fail, told.append):
        flow.when_ended(callback)
    with pytest.raises(ExceptionGroup) as caught:
        flow.end(Delivery(200, COMPLETED, 0))
    assert len(told) == 2
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_is_read_whole_however_it_comes(announced: bool) -> None:
    assert await read_whole(BytesBody([b"ab", b"c"], announced=announced)) == b"abc"
    assert await read_whole(BytesBody(announced=announced)) == b""
    assert await read_whole(WholeBody(b"abc")) == b"abc"


async def test_a_body_over_its_bound_is_not_read_whole() -> None:
    body = BytesBody([b"ab", b"c"], announced=False)
    body.narrow(2)
    with pytest.raises(GatewayError) as refused:
        await read_whole(body)
    assert refused.value.code is ErrorCode.TOO_LARGE
