from __future__ import annotations

import asyncio
import io
import logging

import pytest

from kyma_proxy.observe.lines import LineHandler


class Counting(io.StringIO):
    """Counts what costs a system call."""

    writes = 0

    def write(self, text: str, /) -> int:
        self.writes += 1
        return super().write(text)


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, __file__, 1, message, None, None)


@pytest.fixture
def stream() -> Counting:
    return Counting()


@pytest.fixture
def handler(stream: Counting) -> LineHandler:
    return LineHandler(stream)


def test_without_a_loop_a_line_is_written_at_once(handler: LineHandler, stream: Counting) -> None:
    handler.write_soon("one")
    handler.write_soon("two")
    assert stream.getvalue() == "one\ntwo\n"


async def test_the_lines_of_one_turn_are_written_together_when_it_is_over(
    handler: LineHandler, stream: Counting
) -> None:
    handler.write_soon("one")
    handler.write_soon("two")
    assert stream.getvalue() == ""
    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\n", 1)
    handler.write_soon("three")
    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\nthree\n", 2)


async def test_lines_stay_in_order_with_those_of_logging(handler: LineHandler, stream: Counting) -> None:
    handler.write_soon("one")
    handler.emit(record("two"))
    handler.write_soon("three")
    await asyncio.sleep(0)
    assert stream.getvalue() == "one\ntwo\nthree\n"


async def test_nothing_waits_when_the_process_may_end(handler: LineHandler, stream: Counting) -> None:
    handler.write_soon("one")
    handler.flush()
    assert stream.getvalue() == "one\n"


def test_a_loop_that_ended_with_a_line_left_does_not_keep_the_next_loops_lines(
    handler: LineHandler, stream: Counting
) -> None:
    async def last_words() -> None:
        asyncio.get_running_loop().stop()
        handler.write_soon("left")

    loop = asyncio.new_event_loop()
    last = loop.create_task(last_words())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert last.done()

    async def next_words() -> None:
        handler.write_soon("next")
        await asyncio.sleep(0)

    asyncio.run(next_words())
    assert stream.getvalue() == "left\nnext\n"


async def test_lines_that_nobody_takes_fail_nothing(handler: LineHandler, stream: Counting) -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    stream.close()
    handler.write_soon("one")
    await asyncio.sleep(0)
    handler.flush()
    assert failures == []
