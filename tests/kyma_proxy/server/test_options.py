from __future__ import annotations

import dataclasses

import pytest

from kyma_proxy.server.options import ListenerOptions


def test_the_defaults_are_those_of_production() -> None:
    options = ListenerOptions()
    assert options.handler_cancellation is False
    assert options.head_timeout_seconds == 30
    assert options.trusted_proxies == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.head_timeout_seconds = 1  # type: ignore[misc]
