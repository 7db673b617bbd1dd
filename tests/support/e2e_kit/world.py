"""A running gateway on real sockets, with a funded account, and what tests ask of it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from kyma_proxy.accounts.accounts import Account, get_account
from kyma_proxy.app import Application
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.ledger.audit import audit
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.voices.registry import Voice, list_voices

CLONE_PATH = "/v1/audio/voice-clone"
DESIGN_PATH = "/v1/audio/voice-design"
SPEECH_PATH = "/v1/audio/speech"

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", drain_seconds: 10, {server}}}
database: {{url: "${{TEST_DATABASE_URL}}", pool_size: 8, acquire_timeout_seconds: 2}}
upstreams:
  minimax:
    adapter: minimax
    base_url: "{minimax}"
    api_key: "{key}"
    models: {{minimax-speech-hd: speech-02-hd, minimax-speech-turbo: speech-02-turbo}}
    {minimax_extra}
  origin: {{adapter: forward, base_url: "{origin}"}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {{upstream: minimax, price_usd: "2.10", {clone}}}
  - use: voice_design
    config: {{upstream: minimax, price_usd: "4.20"}}
  - use: voice_ownership
    config: {{{ownership}}}
  - use: voice_library
    config: {{upstream: minimax}}
{plugins}
routes:
  - {{path: /v1/audio/speech, methods: [POST], models: ["minimax-*"], upstream: minimax}}
  - {{path: "/v1/audio/**", upstream: origin}}
"""


PRICES = 'prices_usd_per_1k_chars: {minimax-speech-hd: "0.14", minimax-speech-turbo: "0.084"}'


def metering_plugin(config: str) -> str:
    """The plugin that meters speech, at the usual prices unless `config` has others."""
    prices = "" if "prices_usd_per_1k_chars" in config else PRICES
    settings = ", ".join(part for part in (prices, config) if part)
    return f"  - use: speech_metering\n    config: {{{settings}}}"


def database_url(target: DatabaseTarget) -> str:
    """The URL of a target behind a unix socket, as an operator would write it."""
    arguments = target.connect_arguments()
    login = f"{quote(arguments['user'])}:{quote(arguments['password'], safe='')}"
    return f"postgresql://{login}@/{arguments['database']}?host={quote(str(arguments['host']))}"


@dataclass
class Answer:
    """An answer read whole."""

    status: int
    headers: Any
    body: bytes

    @property
    def fields(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """`error.code`."""
        return str(self.fields["error"]["code"])


@dataclass
class World:
    """A running gateway with one funded account."""

    application: Application
    minimax: MiniMaxSimulator
    origin: OriginSimulator
    http: aiohttp.ClientSession
    account_id: str
    api_key: str

    @property
    def base_url(self) -> str:
        """Of the data plane."""
        return f"http://127.0.0.1:{self.application.data.port}"

    @property
    def admin_url(self) -> str:
        """Of the admin listener."""
        return f"http://127.0.0.1:{self.application.admin.port}"

    async def request(self, method: str, path: str, **arguments: Any) -> Answer:
        """Send a request and read its answer."""
        async with self.http.request(method, self.base_url + path, **arguments) as response:
            return Answer(response.status, response.headers, await response.read())

    async def clone(
        self,
        recording: bytes | None,
        *,
        filename: str = "recording",
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Clone a voice with a multipart form, as the public documentation shows."""
        form = aiohttp.FormData(default_to_multipart=True)
        if recording is not None:
            # Bytes of over a megabyte make the client warn that it copies them.
            content = io.BytesIO(recording)
            form.add_field("file", content, filename=filename, content_type="application/octet-stream")
        for name, value in (fields or {}).items():
            form.add_field(name, value)
        authorized = {"Authorization": f"Bearer {self.api_key}", **(headers or {})}
        return await self.request("POST", CLONE_PATH, data=form, headers=authorized)

    async def design(self, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        """Design a voice."""
        sent = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json", **(headers or {})}
        asked = {"description": "A calm old lighthouse keeper, slow and gravelly."} | fields
        return await self.request("POST", DESIGN_PATH, data=json.dumps(asked), headers=sent)

    async def account(self) -> Account:
        """The account as the books have it."""
        return await self.application.database.transact(lambda connection: get_account(connection, self.account_id))

    async def voices(self) -> list[Voice]:
        """Every voice on file."""
        return list(await self.application.database.transact(list_voices))

    async def require_exact_books(self) -> None:
        """Nothing is owed, nothing is held, and the audit finds nothing."""
        assert await self.application.tasks.drain(10)
        report = await self.application.database.borrow(audit)
        assert report.problems == ()
        assert report.open_holds == 0

    async def require_untouched(self, balance_micros: int = 25_000_000) -> None:
        """Nothing was charged and no voice can be used."""
        await self.require_exact_books()
        account = await self.account()
        assert (account.balance_micros, account.held_micros) == (balance_micros, 0)
        assert all(voice.status == "failed" for voice in await self.voices())
