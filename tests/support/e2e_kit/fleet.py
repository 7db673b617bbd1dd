"""Gateways over one database, one provider and one account: in this process, and in processes of their own."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import aiohttp

from e2e_kit.clone_form import Form
from e2e_kit.processes import running
from e2e_kit.world import CLONE_PATH, CONFIG, SPEECH_PATH, Answer, database_url
from kyma_proxy.accounts.accounts import OpenedAccount, get_account, open_account
from kyma_proxy.app import PRODUCTION, Application, Rehearsal
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.ledger.audit import audit
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.minimax.routes import OPERATIONS
from kyma_proxy.simulators.origin import OriginSimulator

PRICE: Final = 2_100_000
CREDIT: Final = 25_000_000
CLONE_CALL: Final = "/v1/voice_clone"
PATIENCE_SECONDS: Final = 20.0
"""How long anything is waited for before the test fails; far more than it takes."""

_OF_ONE_ANSWER: Final = {"date", "x-request-id", "idempotent-replayed"}
_MINTS = """
SELECT v.voice_id, v.name, v.status, h.state AS hold,
       coalesce((SELECT sum(e.amount_micros) FROM entries e
                 WHERE e.account_id = h.account_id AND e.hold_id = h.hold_id), 0)::bigint AS charged
FROM mints m JOIN voices v USING (voice_id) JOIN holds h ON h.account_id = m.account_id AND h.hold_id = m.hold_id
ORDER BY m.created_at
"""


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What a fleet is made of; the settings are lines of YAML as in `e2e_kit.world.CONFIG`.

    First come `applications` gateways of this process, each with its own rehearsal if `rehearsals` has one for it, then
    `processes` gateways in processes of their own. `clone_seconds` is how long the provider takes.
    """

    applications: int = 1
    processes: int = 0
    rehearsals: Sequence[Rehearsal] = ()
    server: str = ""
    clone: str = "max_uploads_in_flight: 300"
    minimax_extra: str = ""
    credit_micros: int = CREDIT
    clone_seconds: float = 0.0


class Gate:
    """Stands before every clone at the simulated provider; open unless it was closed."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._opened.set()

    def close(self) -> None:
        """Let no clone go on from here."""
        self._opened.clear()

    def open(self) -> None:
        """Let the clones that wait go on, and those to come."""
        self._opened.set()

    async def pass_through(self) -> None:
        """Wait until it is open. Raises TimeoutError if nobody opens it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._opened.wait()


class Held:
    """Failpoints at one of which the first mint that comes waits until it is let go."""

    def __init__(self, point: Failpoint) -> None:
        self.point = point
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        """Wait here, if this is the point and nobody waited yet."""
        if point is self.point and not self.reached.is_set():
            self.reached.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.let_go.wait()


@dataclass
class Fleet:
    """Running gateways and what stands around them; `at` is the number of a gateway, counted round and round."""

    urls: list[str]
    applications: list[Application]
    environ: dict[str, str]
    database: Database
    minimax: MiniMaxSimulator
    origin: OriginSimulator
    http: aiohttp.ClientSession
    account: OpenedAccount
    gate: Gate = field(default_factory=Gate)

    def port(self, at: int = 0) -> int:
        """The port of a gateway's data plane."""
        return int(self.urls[at % len(self.urls)].rpartition(":")[2])

    async def request(self, method: str, path: str, at: int = 0, **arguments: Any) -> Answer:
        """Send a request and read its answer."""
        url = self.urls[at % len(self.urls)] + path
        async with self.http.request(method, url, **arguments) as response:
            return Answer(response.status, response.headers, await response.read())

    async def clone(
        self,
        form: Form | None = None,
        *,
        at: int = 0,
        key: str | None = None,
        retry: str | int | None = None,
        api_key: str | None = None,
    ) -> Answer:
        """Send a form, with an Idempotency-Key and a count of retries if they are given."""
        form = form or Form()
        headers = self.headers(key=key, retry=retry, api_key=api_key) | {"Content-Type": form.content_type}
        # Bytes of over a megabyte make the client warn that it copies them.
        return await self.request("POST", CLONE_PATH, at, data=io.BytesIO(form.body), headers=headers)

    def headers(
        self, *, key: str | None = None, retry: str | int | None = None, api_key: str | None = None
    ) -> dict[str, str]:
        """What a client says of itself and of its request."""
        headers = {"Authorization": f"Bearer {api_key or self.account.api_key}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        if retry is not None:
            headers["x-stainless-retry-count"] = str(retry)
        return headers

    async def raw(
        self, form: Form, *keys: bytes, target: str = CLONE_PATH, chunked: bool = False, at: int = 0
    ) -> bytes:
        """Send a clone as bytes, with these values of Idempotency-Key, and read until the gateway closes."""
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(form.body)}"
        lines = [f"POST {target} HTTP/1.1", "Host: gateway", "Connection: close", framing]
        lines += [f"Content-Type: {form.content_type}", *map(": ".join, self.headers().items())]
        head = [line.encode() for line in lines] + [b"Idempotency-Key: " + key for key in keys]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(form.body), form.body) if chunked else form.body
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port(at))
        try:
            writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await reader.read()
        finally:
            writer.close()

    async def speak(self, voice_id: str, at: int = 0) -> Answer:
        """Ask for a few words in a voice."""
        body = json.dumps({"model": "minimax-speech-turbo", "input": "Hello.", "voice": voice_id})
        headers = self.headers() | {"Content-Type": "application/json"}
        return await self.request("POST", SPEECH_PATH, at, data=body, headers=headers)

    async def standing(self) -> tuple[int, int]:
        """The account's posted balance and what is held, in micro-dollars."""
        account = await self.database.transact(lambda connection: get_account(connection, self.account.account_id))
        return account.balance_micros, account.held_micros

    async def mints(self) -> dict[str, Any]:
        """Every mint by its voice's id, oldest first: `name`, `status`, `hold`, `charged` in micro-dollars."""
        return {row["voice_id"]: row for row in await self.database.fetch(_MINTS)}

    async def somebody_joins(self) -> None:
        """Wait until a request waits for another that is being served."""
        await until(lambda: self.database.fetchval("SELECT bool_or(awaited AND lease_until IS NOT NULL) FROM mints"))

    async def require_books(self, *, voices: int, credit_micros: int = CREDIT) -> None:
        """So many voices were made and paid for out of this credit, and nothing else is or was."""
        await self._settle()
        report = await self.database.borrow(audit)
        assert (report.problems, report.open_holds) == ((), 0)
        assert await self.standing() == (credit_micros - voices * PRICE, 0)
        mints = await self.mints()
        ends = {(mint["status"], mint["hold"], mint["charged"]) for mint in mints.values()}
        assert ends <= {("active", "posted", PRICE), ("failed", "voided", 0)}
        assert sum(mint["status"] == "active" for mint in mints.values()) == voices

    async def _settle(self) -> None:
        """Wait until no mint runs anywhere and the provider has exactly the voices that are on file as active."""
        for application in self.applications:
            assert await application.tasks.drain(PATIENCE_SECONDS)

        async def settled() -> bool:
            rows = await self.database.fetch(
                "SELECT voice_id, status FROM voices WHERE status IN ('active', 'pending')"
            )
            active = {row["voice_id"] for row in rows if row["status"] == "active"}
            return len(active) == len(rows) and active == set(self.minimax.voices)

        await until(settled)


MakeFleet = Callable[..., Awaitable[Fleet]]


def told(answer: Answer) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """What an answer says, byte for byte, without what belongs to the moment it was said in."""
    headers = tuple((name, value) for name, value in answer.headers.items() if name.lower() not in _OF_ONE_ANSWER)
    return answer.status, answer.body, headers


def verdict(answer: Answer) -> tuple[int, str, str]:
    """A refusal's status and code, and whether it says that it is worth another try."""
    return answer.status, answer.code, answer.headers["x-should-retry"]


def codes(answers: list[Answer]) -> Counter[str]:
    """How often each answer was given, by its error code, 200 by that."""
    return Counter("200" if answer.status == 200 else f"{answer.status} {answer.code}" for answer in answers)


def is_replay(answer: Answer) -> bool:
    """Whether the answer says that it is told again."""
    return bool(answer.headers.getall("idempotent-replayed", []) == ["true"])


async def until(holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    """Ask again and again until it holds; the answer may have to be awaited. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            answer = holds()
            if await answer if isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def fleets(database: Database, target: DatabaseTarget, folder: Path) -> AsyncIterator[MakeFleet]:
    """What starts a fleet with options by keyword; it ends with the block. `database` is the test's own way there."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Fleet:
            return await stack.enter_async_context(_start(database, target, folder, FleetOptions(**options)))

        yield make


@asynccontextmanager
async def _start(
    database: Database, target: DatabaseTarget, folder: Path, options: FleetOptions
) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        minimax = await stack.enter_async_context(MiniMaxSimulator())
        minimax.behaviour = minimax.behaviour.model_copy(update={"clone_seconds": options.clone_seconds})
        origin = await stack.enter_async_context(OriginSimulator())
        path = folder / "gateway.yaml"
        path.write_text(_config(options, minimax, origin))
        environ = {"KYMA_CONFIG": str(path), "TEST_DATABASE_URL": database_url(target)}
        applications = [await _application(stack, path, environ, options, at) for at in range(options.applications)]
        urls = [f"http://127.0.0.1:{application.data.port}" for application in applications]
        children = [
            await stack.enter_async_context(running("serve", environ=environ)) for _ in range(options.processes)
        ]
        urls += [f"http://127.0.0.1:{(await child.event('serving'))['port']}" for child in children]
        opened = await database.transact(lambda it: open_account(it, "Ada", options.credit_micros, "test"))
        # Closed before the gateways drain, or its idle connections would be waited for.
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        fleet = Fleet(urls, applications, environ, database, minimax, origin, http, opened)
        stack.enter_context(patch.dict(OPERATIONS, {("POST", CLONE_CALL): _behind(fleet.gate)}))
        stack.callback(fleet.gate.open)
        yield fleet


def _config(options: FleetOptions, minimax: MiniMaxSimulator, origin: OriginSimulator) -> str:
    text = CONFIG.format(
        server=options.server,
        clone=options.clone,
        ownership="",
        plugins="",
        minimax=minimax.base_url,
        key=minimax.api_key,
        minimax_extra=options.minimax_extra,
        origin=origin.base_url,
    )
    # A slow machine must not turn a race for the books into a busy pool.
    return text.replace("acquire_timeout_seconds: 2", "acquire_timeout_seconds: 60")


async def _application(
    stack: AsyncExitStack, path: Path, environ: Mapping[str, str], options: FleetOptions, at: int
) -> Application:
    plugins = InstalledPlugins()
    rehearsal = options.rehearsals[at] if at < len(options.rehearsals) else PRODUCTION
    settings = load_settings(path, plugins=plugins, environ=environ)
    application = Application(settings, plugins, rehearsal=rehearsal)
    await application.start()
    stack.push_async_callback(application.stop)
    return application


def _behind(gate: Gate) -> Callable[[Any, Any], Awaitable[Any]]:
    clone = OPERATIONS["POST", CLONE_CALL]

    async def clone_behind_gate(state: Any, call: Any) -> Any:
        await gate.pass_through()
        return await clone(state, call)

    return clone_behind_gate
