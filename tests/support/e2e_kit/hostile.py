"""One reading or none: a case of hostile bytes, sending it, and judging what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e_kit.hostile_origin import Seen, StrictOrigin
from e2e_kit.world import CONFIG, database_url
from kyma_proxy.app import Application, Rehearsal
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.pipeline.paths import canonical_path
from kyma_proxy.settings import load_settings

PATH: Final = b"/v1/audio/transcriptions"
MARKER: Final = b"GET /v1/audio/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
"""A request that nobody sends: it hides in bodies, behind requests and in headers."""
INJECTED: Final = b"X-Injected: smuggled"
"""A header that nobody sends as one."""

REFUSED: Final = "refused"
"""One error of the gateway at most, or just a closed connection; nothing whole reaches the origin."""
EITHER: Final = "either"
"""Refused, or served as the one request that it can be read as."""

_PATIENCE_SECONDS: Final = 8.0
_PROBE: Final = b"GET /v1/audio/probe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is sent, piece by piece, and what may come of it: REFUSED, EITHER, or the statuses of the answers."""

    name: str
    sent: tuple[bytes, ...]
    outcome: str | tuple[int, ...] = REFUSED
    bodies: tuple[bytes, ...] = ()
    """What the origin gets where it is served, request by request; not looked at when empty."""
    fields: Mapping[bytes, list[bytes]] = field(default_factory=dict)
    """Values that the origin gets, by lower-case name."""
    leaves: bool = False
    """Whether the client closes its half of the connection behind the last piece."""

    @property
    def answers(self) -> int:
        """How many answers are to come."""
        return 1 if isinstance(self.outcome, str) else len(self.outcome)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer off the wire."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the connection ends with it."""
        return self.fields.get("connection", "").lower() == "close"


@dataclass(slots=True)
class Edge:
    """A running gateway in front of a strict origin."""

    application: Application
    origin: StrictOrigin

    @property
    def port(self) -> int:
        """Of the data plane."""
        return self.application.data.port


@contextlib.asynccontextmanager
async def hostile_edge(
    target: DatabaseTarget, folder: Path, *, server: str = "", handler_cancellation: bool = False
) -> AsyncIterator[Edge]:
    """A gateway with its usual plugins; nobody is at MiniMax's address, since nothing here may ever go there."""
    origin = StrictOrigin()
    await origin.start()
    path = folder / "gateway.yaml"
    parts = {
        "clone": "",
        "ownership": "",
        "plugins": "",
        "minimax_extra": "",
        "key": "key",
        "minimax": "http://127.0.0.1:1",
    }
    path.write_text(CONFIG.format(server=server, origin=f"http://127.0.0.1:{origin.port}", **parts))
    plugins = InstalledPlugins()
    settings = load_settings(path, plugins=plugins, environ={"TEST_DATABASE_URL": database_url(target)})
    application = Application(settings, plugins, rehearsal=Rehearsal(handler_cancellation=handler_cancellation))
    try:
        await application.start()
        try:
            yield Edge(application, origin)
        finally:
            await application.stop()
    finally:
        await origin.stop()


async def play(port: int, case: Case) -> list[Answer]:
    """Send a case and read until the gateway closes; where it would not, a probe asks it to, and is the last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await _send(writer, case)
            while (answer := await read_answer(reader)) is not None:
                answers.append(answer)
                if answer.closes:
                    assert await reader.read() == b"", "bytes behind an answer that ends the connection"
                    break
                if len(answers) == case.answers:
                    writer.write(_PROBE)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return answers


async def _send(writer: asyncio.StreamWriter, case: Case) -> None:
    for number, piece in enumerate(case.sent):
        if number:
            await asyncio.sleep(0.2 / len(case.sent))
        with contextlib.suppress(ConnectionError):
            writer.write(piece)
            await writer.drain()
    if case.leaves:
        with contextlib.suppress(OSError):
            writer.write_eof()


async def read_answer(reader: asyncio.StreamReader) -> Answer | None:
    """The next answer that is not an interim one, or None at the end. Every answer here says its length."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise AssertionError(f"half an answer: {error.partial!r}") from error
        return None
    line, *fields = head[:-4].decode("latin-1").split("\r\n")
    version, status = line.split(" ")[:2]
    assert version == "HTTP/1.1", line
    if status == "100":
        return await read_answer(reader)
    read = {name.lower(): value for name, value in (each.split(": ", 1) for each in fields)}
    return Answer(int(status), read, await reader.readexactly(int(read["content-length"])))


def judge(case: Case, answers: list[Answer], origin: StrictOrigin) -> None:
    """Fail unless the case had one reading or none."""
    assert origin.malformed == []
    probed = bool(answers) and len(answers) > case.answers
    judged = answers[: case.answers]
    assert len(answers) <= case.answers + 1, answers
    whole = [seen for seen in origin.seen if seen.complete and seen.target != b"/v1/audio/probe"]
    require_nothing_smuggled(origin.seen)
    for answer in judged:
        require_envelope(answer)
    if probed:
        assert answers[-1].status == 200, answers
    statuses = tuple(answer.status for answer in judged)
    if isinstance(case.outcome, tuple):
        assert statuses == case.outcome, judged
    elif case.outcome == REFUSED:
        assert all(400 <= status < 600 for status in statuses), judged
        assert whole == []
    # Whoever closes a half counts as gone, and may lose the answer to what was served.
    assert len(whole) == statuses.count(200) or (case.leaves and len(whole) <= case.answers), whole
    if case.bodies:
        assert [seen.body for seen in whole] == list(case.bodies[: len(whole)])
    for seen in whole:
        for name, values in case.fields.items():
            assert seen.values(name) == values, seen


def require_envelope(answer: Answer) -> None:
    """An answer is the origin's 200, or an error of the gateway in its envelope."""
    if answer.status == 200:
        assert answer.body == b'{"ok":"here"}'
        return
    assert 400 <= answer.status < 600, answer
    assert set(json.loads(answer.body)["error"]) == {"message", "type", "code"}
    assert answer.fields["content-type"] == "application/json"
    assert answer.fields["x-request-id"]


def require_nothing_smuggled(requests: Iterable[Seen]) -> None:
    """No request that reached the origin was hidden in another one, is outside its paths, or has an injected header."""
    for seen in requests:
        path = canonical_path(seen.target.partition(b"?")[0].decode("latin-1"))
        assert path.startswith("/v1/audio/"), seen
        assert b"smuggled" not in seen.target.lower(), seen
        for name, value in seen.fields:
            assert b"smuggled" not in (name + value).lower(), seen


def request(*lines: bytes, method: bytes = b"POST", target: bytes = PATH, body: bytes = b"") -> bytes:
    """A request with `Host: h` and these header lines, as they are."""
    return b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), b"Host: h", *lines, b"", body])


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def cases_of(group: str, table: Mapping[str, Any]) -> list[Case]:
    """Cases from a table of names to bytes (refused) or to keyword arguments of `Case`."""
    return [
        Case(name=f"{group}: {name}", **(given if isinstance(given, dict) else {"sent": (given,)}))
        for name, given in table.items()
    ]
