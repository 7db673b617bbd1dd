"""Good requests changed at random: what reaches the origin is what the bytes mean by the letter, and nothing else.

`KYMA_FUZZ=100000` tries that many; `KYMA_FUZZ_FROM=1234` begins at another mutant. A failure names its number.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.hostile import Edge, hostile_edge, read_answer, require_envelope
from e2e_kit.hostile_mutants import SEEDS, mutant
from e2e_kit.hostile_origin import Seen
from e2e_kit.hostile_reference import Meant, meanings

_COUNT = int(os.environ.get("KYMA_FUZZ", "300"))
_FROM = int(os.environ.get("KYMA_FUZZ_FROM", "0"))
_QUIET_SECONDS = 0.03
"""A connection on which nothing was said for so long has said all: then the client leaves."""
_CLEAN = b"POST /v1/audio/clean HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_ADDED = {
    b"host",
    b"x-request-id",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"via",
    b"traceparent",
}
_ADDED_FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"upgrade"}


async def send(port: int, pieces: tuple[bytes, ...]) -> list[int]:
    """Send pieces, read the answers until nothing more comes, leave; returns their statuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses = []
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)
        left = False
        while True:
            waiting = asyncio.ensure_future(read_answer(reader))
            await asyncio.wait([waiting], timeout=_QUIET_SECONDS)
            if not waiting.done() and not left:
                left = True
                writer.write_eof()
            async with asyncio.timeout(10):
                answer = await waiting
            if answer is None:
                break
            require_envelope(answer)
            statuses.append(answer.status)
    except (ConnectionError, OSError):
        pass
    finally:
        writer.transport.abort()
    return statuses


def is_meant(seen: Seen, meant: Meant) -> bool:
    """Whether a request at the origin is one that was sent: its target, its body, and no header that was not there."""
    if (seen.method, seen.target) != (meant.method, meant.target):
        return False
    if (seen.complete and not meant.whole) or not meant.body.startswith(seen.body):
        return False
    if seen.complete and seen.body != meant.body:
        return False
    sent = {(name.lower(), value) for name, value in meant.fields}
    return all(name.lower() in _ADDED | _ADDED_FRAMING or (name.lower(), value) in sent for name, value in seen.fields)


def judge(pieces: tuple[bytes, ...], seen: list[Seen]) -> None:
    """Fail unless the origin got some of the requests that were sent, in their order; others were refused."""
    wanted = iter(meanings(b"".join(pieces)))
    for each in seen:
        assert any(is_meant(each, meant) for meant in wanted), f"nobody sent {each}"


async def try_mutant(edge: Edge, number: int, said: pytest.CaptureFixture[str]) -> None:
    """One mutant, then a clean request."""
    pieces = mutant(number)
    edge.origin.seen.clear()
    await send(edge.port, pieces)
    judge(pieces, edge.origin.seen)
    edge.origin.seen.clear()
    assert await send(edge.port, (_CLEAN,)) == [200]
    assert [seen.target for seen in edge.origin.seen] == [b"/v1/audio/clean"]
    assert edge.origin.malformed == []
    log = said.readouterr().out
    assert not any(word in log for word in ("connection_failed", "request_crashed", "reply_failed", "Traceback")), log


@pytest.mark.timeout(60 + _COUNT)
@pytest.mark.parametrize("handler_cancellation", [False, True], ids=["cancellation-off", "cancellation-on"])
async def test_mutants(
    database_target: Any, tmp_path: Path, handler_cancellation: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _FROM + _COUNT * handler_cancellation
    async with hostile_edge(database_target, tmp_path, handler_cancellation=handler_cancellation) as edge:
        for number in range(first, first + _COUNT):
            try:
                await try_mutant(edge, number, capsys)
            except BaseException as error:
                error.add_note(f"mutant {number}: {mutant(number)!r}")
                raise


def test_the_same_number_is_the_same_mutant_and_others_differ() -> None:
    assert [mutant(number) for number in range(50)] == [mutant(number) for number in range(50)]
    assert len({mutant(number) for number in range(200)}) > 150


def test_what_was_not_changed_means_what_it_says() -> None:
    assert [[meant.whole for meant in meanings(seed)] for seed in SEEDS] == [
        [True, True] if seed.count(b"Host: h") == 3 else [True] for seed in SEEDS
    ]


@pytest.mark.parametrize(
    "seen",
    [
        Seen(b"GET", b"/v1/audio/smuggled", ((b"Host", b"o"),), complete=True),
        Seen(b"POST", b"/v1/audio/transcriptions", ((b"Host", b"o"),), b"another body", complete=True),
        Seen(b"POST", b"/v1/audio/transcriptions", ((b"X-Injected", b"smuggled"),), complete=False),
    ],
)
def test_what_nobody_sent_is_found(seen: Seen) -> None:
    with pytest.raises(AssertionError, match="nobody sent"):
        judge((SEEDS[4],), [seen])
