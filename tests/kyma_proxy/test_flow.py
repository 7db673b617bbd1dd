"""Flow and reply."""

from kyma_proxy.flow import Reply
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
