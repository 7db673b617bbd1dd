"""A whole gateway between a raw client and a raw origin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e_kit.wire import Message, RawOrigin, Wire, connect
from e2e_kit.world import database_url
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.app import Application, Rehearsal
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATH: Final = b"/v1/audio/voices"
UPLOAD: Final = b"/v1/audio/transcriptions"
HOP_BY_HOP: Final = (
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic c2VjcmV0",
    b"Proxy-Authenticate: Basic",
    b"TE: gzip",
    b"Trailer: X-Sum",
    b"Upgrade: h2c",
    b"X-Named: 1",
    b"x-named: 2",
)
"""What belongs to one hop, the two last because `Connection` names them."""
RAW_CONFIG: Final = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", drain_seconds: 1, {server}}}
database: {{url: "${{TEST_DATABASE_URL}}", pool_size: 4, acquire_timeout_seconds: 2}}
upstreams:
  origin: {{adapter: forward, base_url: "http://127.0.0.1:{port}{base_path}", {origin}}}
  minimax: {{adapter: minimax, base_url: "http://127.0.0.1:9", api_key: nobody}}
plugins:
  - use: api_key_auth
  - use: voice_ownership
  - {{use: voice_library, config: {{upstream: minimax}}}}
routes:
  - {{path: "/v1/audio/**", upstream: origin}}
"""


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What differs from a plain gateway; the settings are parts of a YAML flow mapping."""

    server: str = ""
    origin: str = ""
    base_path: str = ""
    handler_cancellation: bool = False


PLAIN: Final = EdgeOptions()


@dataclass
class Edge:
    """A running gateway, its origin, and a key for guarded endpoints."""

    application: Application
    origin: RawOrigin
    api_key: str
    _wires: list[Wire]

    async def connect(self, *, receive_bytes: int | None = None) -> Wire:
        """A client's connection, closed at the end of the test."""
        wire = await connect(self.application.data.port, receive_bytes=receive_bytes)
        self._wires.append(wire)
        return wire

    async def ask(self, *fields: bytes, method: bytes = b"GET", target: bytes = PATH, body: bytes = b"") -> Message:
        """Send one request over a connection of its own, and read its answer; `Host: h` comes first."""
        wire = await self.connect()
        await wire.send(request(*fields, method=method, target=target) + body)
        answer = await wire.message(of_head=method == b"HEAD")
        wire.close()
        return answer


def request(*fields: bytes, method: bytes = b"GET", target: bytes = PATH, version: bytes = b"1.1") -> bytes:
    """The head of a request; `Host: h` comes first."""
    return b"\r\n".join([b"%s %s HTTP/%s" % (method, target, version), b"Host: h", *fields]) + b"\r\n\r\n"


def upload(*fields: bytes) -> bytes:
    """The head of a POST to `UPLOAD`; `Host: h` comes first."""
    return request(*fields, method=b"POST", target=UPLOAD)


def head(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    """The head of an answer."""
    return answer(*lines, status=status)


def answer(*lines: bytes, body: bytes = b"", status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    """An answer as it goes over the wire; its framing is among the `lines`."""
    return b"\r\n".join([b"HTTP/%s %s" % (version, status), *lines]) + b"\r\n\r\n" + body


OpenEdge = Callable[..., Awaitable[Edge]]
"""Opens one with these EdgeOptions."""


@asynccontextmanager
async def raw_edge(target: DatabaseTarget, folder: Path, options: EdgeOptions = PLAIN) -> AsyncIterator[Edge]:
    """Start a gateway whose origin answers `ok` until told otherwise; stops both, and fails if a script failed."""
    origin = RawOrigin(_unscripted)
    origin.answering(OK)
    await origin.start()
    path = folder / "gateway.yaml"
    path.write_text(
        RAW_CONFIG.format(server=options.server, port=origin.port, base_path=options.base_path, origin=options.origin)
    )
    plugins = InstalledPlugins()
    settings = load_settings(path, plugins=plugins, environ={"TEST_DATABASE_URL": database_url(target)})
    rehearsal = Rehearsal(handler_cancellation=options.handler_cancellation)
    application = Application(settings, plugins, rehearsal=rehearsal)
    await application.start()
    edge = None
    try:
        opened = await application.database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))
        edge = Edge(application, origin, opened.api_key, [])
        yield edge
    finally:
        for wire in edge._wires if edge else ():
            wire.writer.transport.abort()
        await application.stop()
        await origin.stop()


async def _unscripted(_wire: Wire) -> None:
    raise AssertionError("the origin has no script")
