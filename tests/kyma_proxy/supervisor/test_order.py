"""What the supervisor orders is what the worker reads."""

from __future__ import annotations

from pathlib import Path

from kyma_proxy.supervisor.order import Order


def test_an_order_survives_the_command_line() -> None:
    for migrate in (False, True):
        order = Order(Path("a b.yaml"), Path("/x/accepted"), Path("/x/candidate"), (3, 14), 15, migrate)
        assert Order.parse(order.arguments()) == order
