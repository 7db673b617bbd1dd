import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from multidict import CIMultiDictProxy

from kyma_proxy.simulators.origin import OriginSimulator

KEY = "ky-caller"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    json: Any

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]["code"]


class Caller:
    """A client that knows the public API pages; `key` None sends no key."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def send(self, method: str, path: str, *, key: str | None = KEY, **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        async with self.session.request(method, path, headers=headers, **options) as reply:
            body = await reply.read()
            is_json = reply.content_type == "application/json" and body
            return Answer(reply.status, reply.headers, body, await reply.json() if is_json else None)

    async def post(self, endpoint: str, *, key: str | None = KEY, **fields: Any) -> Answer:
        return await self.send("POST", f"/v1/audio/{endpoint}", key=key, json=fields)

    async def upload(self, endpoint: str, sound: bytes, fields: Mapping[str, str]) -> Answer:
        form = FormData()
        for name, value in fields.items():
            form.add_field(name, value)
        form.add_field("file", io.BytesIO(sound), filename="a.wav", content_type="audio/wav")
        return await self.send("POST", f"/v1/audio/{endpoint}", data=form)


@pytest.fixture
async def origin() -> AsyncIterator[OriginSimulator]:
    async with OriginSimulator() as running:
        yield running


@pytest.fixture
async def caller(origin: OriginSimulator) -> AsyncIterator[Caller]:
    async with ClientSession(origin.base_url) as session:
        yield Caller(session)
