"""The bound on uploads in flight."""

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_clone.slots import UploadSlots


def test_one_more_than_the_bound_is_refused_until_one_is_released() -> None:
    slots = UploadSlots(2)
    first, _second = slots.take(), slots.take()
    with pytest.raises(GatewayError) as caught:
        slots.take()
    assert (caught.value.code, caught.value.headers["Retry-After"]) == (ErrorCode.UNAVAILABLE, "1")
    first.release()
    slots.take()


def test_a_slot_is_released_once_however_often_it_is_asked() -> None:
    slots = UploadSlots(1)
    with slots.take() as slot:
        slot.release()
    slots.take()
    with pytest.raises(GatewayError):
        slots.take()
