"""Questions and answers between the supervisor and a worker: lines of JSON over a pair of sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from kyma_proxy.tasks import Tasks

Answers = Mapping[str, Callable[[Any], Awaitable[Any]]]
"""What a side can be asked: each question, and what finds the answer to it. All of it is JSON."""

LINE_BYTES_MAX: Final = 1024 * 1024
_log = structlog.get_logger("kyma_proxy.supervisor")


class ChannelClosedError(Exception):
    """The other side has ended, or does not answer in time."""


class Channel:
    """One side of the pair. Both may ask; a question that fails on the other side raises ChannelClosedError here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Answers) -> None:
        self._reader = reader
        self._writer = writer
        self._answers = answers
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self.closed = asyncio.Event()
        """Set once the other side has ended."""

    def __repr__(self) -> str:
        return f"Channel({'closed' if self.closed.is_set() else 'open'}, {len(self._asked)} asked)"

    @classmethod
    async def open(cls, end: socket.socket, answers: Answers, tasks: Tasks) -> Channel:
        """A channel over one end of a socket pair; it answers from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=LINE_BYTES_MAX)
        channel = cls(reader, writer, answers)
        tasks.spawn(channel._serve(tasks), name="channel")
        return channel

    async def ask(self, question: str, seconds: float, about: Any = None) -> Any:
        """Ask, and wait for the answer at most that long. Raises ChannelClosedError."""
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._send({"ask": question, "about": about, "number": number})
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise ChannelClosedError(f"no answer to {question!r} in {seconds:g} seconds") from error
        finally:
            self._asked.pop(number, None)

    def close(self) -> None:
        """End this side."""
        self._writer.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        if self.closed.is_set() or self._writer.is_closing():
            raise ChannelClosedError("the other side has ended")
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _serve(self, tasks: Tasks) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if "ask" in message:
                    tasks.spawn(self._answer(message), name=f"answer {message['ask']}")
                elif (asked := self._asked.get(message["number"])) is not None and not asked.done():
                    _settle(asked, message)
        except (OSError, ValueError):
            pass
        finally:
            self.closed.set()
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(ChannelClosedError("the other side has ended"))
            self._writer.close()

    async def _answer(self, asked: Mapping[str, Any]) -> None:
        question, number = asked["ask"], asked["number"]
        try:
            message = {"number": number, "answer": await self._answers[question](asked["about"])}
        except Exception as error:  # noqa: BLE001 - told to the one who asked
            _log.exception("question_failed", question=question)
            message = {"number": number, "failed": f"{type(error).__name__}: {error}"}
        if not self.closed.is_set():
            self._send(message)


def _settle(asked: asyncio.Future[Any], message: Mapping[str, Any]) -> None:
    if "failed" in message:
        asked.set_exception(ChannelClosedError(message["failed"]))
    else:
        asked.set_result(message["answer"])
