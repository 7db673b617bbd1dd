import io
import json
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData

from kyma_proxy.simulators.minimax import MiniMaxSimulator

FIXTURES = Path(__file__).parents[3] / "fixtures"


class Caller:
    """A client of the simulated provider that was written from the provider's documentation alone."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        async with self.session.post(path, json=body) as reply:
            assert reply.status == 200
            return json.loads(await reply.text())

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        async with self.session.get(path, params=query) as reply:
            return json.loads(await reply.text())

    async def upload(self, data: bytes, filename: str, purpose: str = "voice_clone") -> dict[str, Any]:
        form = FormData()
        form.add_field("purpose", purpose)
        form.add_field("file", io.BytesIO(data), filename=filename)
        async with self.session.post("/v1/files/upload", data=form) as reply:
            assert reply.status == 200
            return json.loads(await reply.text())

    async def file_id(self, data: bytes, filename: str, purpose: str = "voice_clone") -> int:
        return (await self.upload(data, filename, purpose))["file"]["file_id"]

    async def clone(self, voice_id: str, file_id: object, **fields: Any) -> dict[str, Any]:
        return await self.post("/v1/voice_clone", file_id=file_id, voice_id=voice_id, **fields)


@pytest.fixture
async def simulator() -> AsyncIterator[MiniMaxSimulator]:
    async with MiniMaxSimulator() as running:
        yield running


@pytest.fixture
async def caller(simulator: MiniMaxSimulator) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {simulator.api_key}"}
    async with ClientSession(simulator.base_url, headers=headers) as session:
        yield Caller(session)


@pytest.fixture
def fixture_bytes() -> Callable[[str], bytes]:
    return lambda name: (FIXTURES / name).read_bytes()


@pytest.fixture
def literal() -> Callable[[str], Any]:
    return lambda name: json.loads((FIXTURES / "minimax" / name).read_bytes())


@pytest.fixture
def wav() -> Callable[[float], bytes]:
    """Silence of so many seconds, 8 kHz mono, 16 bit."""

    def make(seconds: float) -> bytes:
        target = io.BytesIO()
        with wave.open(target, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(8000)
            writer.writeframes(bytes(2 * round(8000 * seconds)))
        return target.getvalue()

    return make
