"""An origin that reads HTTP as strictly as it can be read, and keeps every request that reached it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(rb"([A-Z-]+) (/[\x21-\x7e]*) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
_SIZE: Final = re.compile(rb"([0-9a-f]{1,8})\r\n")
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n"
_ANSWER_BODY: Final = b'{"ok":"here"}'


@dataclass(slots=True)
class Seen:
    """One request as it reached the origin."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    complete: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of that name; `name` is in lower case."""
        return [value for each, value in self.fields if each.lower() == name]


class StrictOrigin:
    """Answers every request 200 with a small JSON body. `malformed` says what it could not read."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.malformed: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut every connection."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                seen = self._read_head(await reader.readuntil(b"\r\n\r\n"))
                self.seen.append(seen)
                if seen.values(b"expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await self._read_body(reader, seen)
                seen.complete = True
                writer.write(_ANSWER + (b"" if seen.method == b"HEAD" else _ANSWER_BODY))
        except asyncio.IncompleteReadError as error:
            if error.partial and self.seen and self.seen[-1].complete:
                self.malformed.append(f"half a head: {error.partial[:80]!r}")
        except ConnectionError:
            pass
        except (AssertionError, ValueError) as error:
            self.malformed.append(str(error))
        finally:
            self._writers.discard(writer)
            writer.close()

    def _read_head(self, head: bytes) -> Seen:
        line, *fields = head[:-4].split(b"\r\n")
        first = _LINE.fullmatch(line)
        assert first is not None, f"request line {line[:200]!r}"
        read = [_FIELD.fullmatch(field) for field in fields]
        assert all(read), f"fields {fields!r}"
        return Seen(first[1], first[2], tuple((field[1], field[2]) for field in read if field is not None))

    async def _read_body(self, reader: asyncio.StreamReader, seen: Seen) -> None:
        codings, lengths = seen.values(b"transfer-encoding"), seen.values(b"content-length")
        assert len(codings) + len(lengths) <= 1, f"framing {codings} {lengths}"
        assert len(seen.values(b"host")) == 1, f"hosts {seen.values(b'host')}"
        if lengths:
            assert lengths[0].isdigit(), f"length {lengths}"
            seen.body = await reader.readexactly(int(lengths[0]))
        elif codings:
            assert codings == [b"chunked"], f"codings {codings}"
            await self._read_chunks(reader, seen)

    async def _read_chunks(self, reader: asyncio.StreamReader, seen: Seen) -> None:
        while True:
            line = await reader.readuntil(b"\r\n")
            match = _SIZE.fullmatch(line)
            assert match is not None, f"size {line!r}"
            size = int(match[1], 16)
            piece = await reader.readexactly(size + 2)
            assert piece[size:] == b"\r\n", f"chunk end {piece[size:]!r}"
            if not size:
                return
            seen.body += piece[:size]
