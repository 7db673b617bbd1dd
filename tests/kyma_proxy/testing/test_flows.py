"""Flows made by hand keep to the rules of real ones."""

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.testing.flows import BytesBody, make_flow


async def test_a_body_comes_in_the_chunks_it_was_given() -> None:
    body = BytesBody([b"ab", b"c"])
    assert body.content_length == 3
    assert [chunk async for chunk in body] == [b"ab", b"c"]
    assert body.was_read


async def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    body = BytesBody([b"abc"])
    with pytest.raises(GatewayError) as caught:
        body.narrow(2)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert not body.was_read


async def test_a_chunked_body_is_counted() -> None:
    body = BytesBody([b"ab", b"c"], announced=False)
    assert body.content_length is None
    body.narrow(2)
    body.narrow(5)
    with pytest.raises(GatewayError) as caught:
        [chunk async for chunk in body]
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_headers_are_there_raw_as_well() -> None:
    flow = make_flow(headers={"X-A": "1"})
    assert flow.headers["x-a"] == "1"
    assert flow.raw_headers == ((b"X-A", b"1"),)
