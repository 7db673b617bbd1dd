"""A provider that answers call by call as told, over real sockets, and settings to reach it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kyma_proxy.settings.models import MiniMaxUpstreamSettings, UpstreamTimeouts

KEY = "sk-api-very-secret"


class Provider:
    """Answers each path with what `answers` has for it; a callable gets the writer and does as it likes."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, bytes]] = []
        """Path with query and body, in their order."""
        self.heads: list[str] = []
        self.base_url = ""

    def json_of(self, path: str) -> list[dict[str, Any]]:
        """The JSON bodies sent to a path."""
        return [json.loads(body) for called, body in self.calls if called.partition("?")[0] == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            path = head.split(" ")[1]
            self.heads.append(head)
            self.calls.append((path, await reader.readexactly(length)))
            answer = self.answers.get(path.partition("?")[0], {})
            if callable(answer):
                await answer(writer)
                return
            body = json.dumps({"base_resp": {"status_code": 0, "status_msg": "success"}, **answer}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nTrace-Id: 06a1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
async def provider(origin: Callable[..., Awaitable[Any]]) -> Provider:
    one = Provider()
    one.answers["/v1/files/upload"] = {"file": {"file_id": 318207745120993412}}
    one.base_url = (await origin(one.serve)).base_url
    return one


@pytest.fixture
def settings(quick: UpstreamTimeouts) -> Callable[..., MiniMaxUpstreamSettings]:
    def make(base_url: str, **more: Any) -> MiniMaxUpstreamSettings:
        values = {"base_url": base_url, "api_key": KEY, "timeouts": quick, "clone_timeout_seconds": 0.5, **more}
        return MiniMaxUpstreamSettings.model_validate(values)

    return make


@pytest.fixture
def key() -> str:
    return KEY
