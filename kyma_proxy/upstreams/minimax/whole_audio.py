"""Answers with all of their audio in one piece, read without holding up everybody else."""

from __future__ import annotations

import asyncio
import binascii
import re

from kyma_proxy.upstreams.minimax.calls import read_whole
from kyma_proxy.upstreams.minimax.wire import Answer, audio_of, read_answer
from kyma_proxy.upstreams.transport import IncomingReply

SMALL_BYTES_MAX = 256 * 1024
"""An answer up to this long is decoded at once, in about a millisecond."""
LARGE_AT_ONCE_MAX = 2
"""How many longer ones are decoded at the same time; the others wait."""
SLICE_DIGITS = 256 * 1024

_AUDIO_BEGINS = re.compile(rb'"audio"\s*:\s*"')
_LIFTED = "(lifted)"
"""Stands for the audio while the rest is parsed; no audio itself, since it is not hexadecimal."""


class WholeAnswers:
    """Reads whole answers; large ones are decoded in a thread, a few at a time."""

    def __init__(self) -> None:
        self._seats = asyncio.Semaphore(LARGE_AT_ONCE_MAX)

    async def read(self, reply: IncomingReply, bytes_max: int) -> tuple[Answer, bytes]:
        """An answer and the audio of a success, empty where there is none; the answer may lack the audio's digits.

        Raises TransportError when it breaks off or is over `bytes_max`, ValueError for audio that is not whole hex.
        """
        body = await read_whole(reply, bytes_max)
        if len(body) <= SMALL_BYTES_MAX:
            return decode(reply.status, body)
        await self._seats.acquire()
        work = asyncio.get_running_loop().run_in_executor(None, decode, reply.status, body)
        # A thread cannot be stopped: its seat is taken until it is done, whoever stops waiting for it.
        work.add_done_callback(lambda _: self._seats.release())
        return await asyncio.shield(work)


def decode(status: int, body: bytearray) -> tuple[Answer, bytes]:
    """See `WholeAnswers.read`. `body` is emptied on the way: with long audio about half as much again is held."""
    found = _AUDIO_BEGINS.search(body) if len(body) > SMALL_BYTES_MAX else None
    if found is not None:
        # The parser would neither let go of the interpreter nor spare a copy: it gets everything but the digits.
        start = found.end()
        end = body.find(b'"', start)
        del found  # it holds on to the body, which could not be emptied
        answer = read_answer(status, body[:start] + _LIFTED.encode() + (body[end:] if end >= 0 else b""))
        if answer.meaning is not None:
            return answer, b""
        data = answer.fields.get("data")
        if isinstance(data, dict) and data.get("audio") == _LIFTED:
            return answer, _unhexlify(body, start, end)
    answer = read_answer(status, body)
    return answer, b"" if answer.meaning is not None else audio_of(answer.fields)


def _unhexlify(body: bytearray, start: int, end: int) -> bytes:
    """The bytes of the digits from `start` to `end`, in slices between which other threads get their turn."""
    pieces = []
    with memoryview(body) as view:
        for at in range(start, end, SLICE_DIGITS):
            pieces.append(binascii.unhexlify(view[at : min(at + SLICE_DIGITS, end)]))
    body.clear()
    return b"".join(pieces)
