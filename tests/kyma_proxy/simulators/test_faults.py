import asyncio
import errno
import time

import aiohttp
import pytest
from aiohttp import ClientSession, web

from kyma_proxy.simulators.faults import FAULTS_MAX, BaseFault, FaultBook, strike


def test_a_fault_happens_as_often_as_it_was_told() -> None:
    book = FaultBook[BaseFault]()
    book.add(BaseFault(times=2))

    assert [book.take("/v1/get_voice") is not None for _ in range(4)] == [True, True, False, False]


def test_a_fault_without_times_happens_until_cleared() -> None:
    book = FaultBook[BaseFault]()
    book.add(BaseFault(times=None))

    assert all(book.take("/v1/get_voice") for _ in range(50))
    book.clear()
    assert book.take("/v1/get_voice") is None


def test_a_fault_of_one_path_leaves_others_alone() -> None:
    book = FaultBook[BaseFault]()
    book.add(BaseFault(path="/v1/voice_clone", reset=True, times=3))

    assert book.take("/v1/files/upload") is None
    assert book.take("/v1/voice_clone") is not None
    assert [fault.times for fault in book.waiting] == [2]


def test_waiting_faults_are_bounded() -> None:
    book = FaultBook[BaseFault]()
    for _ in range(FAULTS_MAX):
        book.add(BaseFault())

    with pytest.raises(ValueError, match="more than 100"):
        book.add(BaseFault())
