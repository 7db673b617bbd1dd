"""Failpoints: in production nothing happens at any of them."""

from __future__ import annotations

from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoint


async def test_nothing_happens() -> None:
    for point in Failpoint:
        await NO_FAILPOINTS.reach(point)


def test_names_are_words_that_a_matrix_can_print() -> None:
    assert len({point.value for point in Failpoint}) == len(Failpoint)
    assert all(point.value.replace(".", "").replace("_", "").isalpha() for point in Failpoint)
