from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.flow import Flow, RequestTarget
from kyma_proxy.pipeline.upgrade import flow_wants_upgrade


@pytest.mark.parametrize(
    ("headers", "wants"),
    [
        ([], False),
        ([("Upgrade", "websocket")], False),
        ([("Connection", "upgrade")], False),
        ([("Upgrade", "websocket"), ("Connection", "Upgrade")], True),
        ([("Upgrade", "h2c"), ("Connection", "keep-alive,  UPGRADE, HTTP2-Settings")], True),
        ([("Upgrade", "websocket"), ("Connection", "close"), ("Connection", "upgrade")], True),
        ([("Upgrade", "websocket"), ("Connection", "x-upgrade")], False),
    ],
)
def test_an_upgrade_is_a_header_and_a_connection_option(headers: list[tuple[str, str]], wants: bool) -> None:
    flow = Flow(
        id="req_1",
        method="GET",
        target=RequestTarget("/", None, "/"),
        headers=CIMultiDictProxy(CIMultiDict(headers)),
        raw_headers=(),
        body=None,  # type: ignore[arg-type]
        client_address="",
    )
    assert flow_wants_upgrade(flow) is wants
