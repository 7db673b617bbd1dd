"""What a failure says about the request."""

from __future__ import annotations

import pytest

from kyma_proxy.upstreams.errors import FailureKind, TransportError


@pytest.mark.parametrize(
    ("kind", "request_sent"),
    [
        (FailureKind.REFUSED, False),
        (FailureKind.UNREACHABLE, False),
        (FailureKind.SILENT, True),
        (FailureKind.BROKEN, True),
    ],
)
def test_only_without_a_connection_is_it_certain_that_nothing_was_sent(kind: FailureKind, request_sent: bool) -> None:
    error = TransportError(kind, "why")
    assert error.request_sent is request_sent
    assert str(error) == f"{kind.value}: why"
    assert error.limit is None
    assert TransportError(kind, "why", "total").limit == "total"
