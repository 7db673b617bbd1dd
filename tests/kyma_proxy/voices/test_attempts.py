"""What makes two requests the same, and what a request may say of being one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.voices.attempts import Repetition, fingerprint_of, read_repetition

parts = st.lists(st.none() | st.text(max_size=4) | st.binary(max_size=4), max_size=4)


def test_a_request_may_say_nothing() -> None:
    assert read_repetition(CIMultiDict()) == Repetition(None, False)


@pytest.mark.parametrize("key", ["k", "~!", "x" * 255, "9f1c-44", 'a,b;c="d"'])
def test_keys_are_visible_ascii(key: str) -> None:
    assert read_repetition(CIMultiDict({"idempotency-key": key})) == Repetition(key, False)


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "a\tb", "a\x00", "a\x7f", "schlüssel", "\udcff", "k\n"])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_repetition(CIMultiDict({"Idempotency-Key": key}))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_two_keys_are_refused() -> None:
    with pytest.raises(GatewayError):
        read_repetition(CIMultiDict([("Idempotency-Key", "a"), ("idempotency-key", "a")]))


@pytest.mark.parametrize(
    ("count", "marked"),
    [("0", False), ("1", True), ("2", True), ("-1", False), ("x", False), ("", False), ("١", False)],
)
def test_a_retry_is_marked_by_its_count(count: str, marked: bool) -> None:
    assert read_repetition(CIMultiDict({"X-Stainless-Retry-Count": count})).is_marked_retry is marked


@given(parts, parts)
def test_equal_fingerprints_mean_equal_parts(one: list[str | bytes | None], other: list[str | bytes | None]) -> None:
    assert (fingerprint_of(*one) == fingerprint_of(*other)) is (one == other)
    assert len(fingerprint_of(*one)) == 32
