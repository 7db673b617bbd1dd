"""Flow and reply."""

import pytest

from kyma_proxy.flow import Delivery, Reply
from kyma_proxy.observe.endings import COMPLETED
from kyma_proxy.testing.flows import make_flow


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
