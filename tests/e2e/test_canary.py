"""Secrets put wherever one can stand come out nowhere: no log, metric, admin answer, trace or error tells them."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from e2e_kit.processes import run, running
from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.simulators.minimax import Fault, MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.sample import sample_recording
from workers_kit import free_port

PROVIDER_KEY = "sk-api-canaryprovider0123456789"
ORIGIN_KEY = "canary-origin-key-0123456789"
CONFIG = """version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:{admin}", drain_seconds: 5}}
database: {{url: "${{TEST_DATABASE_URL}}"}}
upstreams:
  minimax:
    adapter: minimax
    base_url: "{minimax}"
    api_key: "{provider_key}"
    group_id: canarygroup777
    breaker: null
    models: {{minimax-speech-turbo: speech-02-turbo}}
  origin: {{adapter: forward, base_url: "{origin}"}}
  replaced: {{adapter: forward, base_url: "{origin}", authorization: replace, api_key: "{origin_key}"}}
plugins:
  - use: api_key_auth
  - use: voice_clone
    config: {{upstream: minimax}}
  - use: voice_design
    config: {{upstream: minimax, price_usd: "4.20"}}
  - use: voice_ownership
  - use: speech_metering
    config: {{prices_usd_per_1k_chars: {{minimax-speech-turbo: "0.084"}}}}
routes:
  - {{path: /v1/audio/speech, methods: [POST], models: ["minimax-*"], upstream: minimax}}
  - {{path: "/v1/audio/music/**", upstream: replaced}}
  - {{path: "/v1/audio/**", upstream: origin}}
"""
CANARIES = {
    "a client's key at the origin": "ky-canaryclientkey0123456789abcdef",
    "a cookie": "canarycookie4711",
    "a query string": "canaryquery4711",
    "words to speak": "canaryinput4711",
    "a description of a voice": "canaryprompt4711",
    "a name of a form's field": "canaryfield4711",
    "an idempotency key": "canaryidempotency4711",
    "basic credentials": "Y2FuYXJ5OnBhc3N3b3Jk",
    "another client's key": "ky-canaryunknownkey0123456789abcdef",
    "a proxy's credentials": "canaryproxyauth4711",
}


async def drive(url: str, key: str, minimax: MiniMaxSimulator) -> list[str]:
    """Ask for everything, with success and with failures of each kind; the bodies of the gateway's own errors."""
    told: list[str] = []
    bearer = {"Authorization": f"Bearer {key}"}
    query = f"?token={CANARIES['a query string']}"

    async with aiohttp.ClientSession() as http:

        async def ask(method: str, path: str, **arguments: Any) -> None:
            headers = {"Cookie": f"session={CANARIES['a cookie']}", **arguments.pop("headers", {})}
            try:
                async with http.request(method, url + path + query, headers=headers, **arguments) as answer:
                    body = await answer.read()
                    if "x-should-retry" in answer.headers:
                        told.append(f"{answer.headers} {body.decode('utf-8', 'replace')}")
            except aiohttp.ClientError as error:
                told.append(str(error))

        speech = {
            "model": "minimax-speech-turbo",
            "input": CANARIES["words to speak"],
            "voice": "English_Graceful_Lady",
        }
        described = CANARIES["a description of a voice"] + " and calm, slow, old."
        design = {"description": described}

        def form() -> aiohttp.FormData:
            made = aiohttp.FormData(default_to_multipart=True)
            made.add_field(CANARIES["a name of a form's field"], "x")
            made.add_field("file", sample_recording(), filename="a.mp3")
            return made

        async def ask_for_everything() -> None:
            for stream in (False, True):
                await ask("POST", "/v1/audio/speech", json={**speech, "stream": stream}, headers=bearer)
            await ask("POST", "/v1/audio/voice-design", json=design, headers=bearer)
            once = {**bearer, "Idempotency-Key": CANARIES["an idempotency key"]}
            await ask("POST", "/v1/audio/voice-clone", data=form(), headers=once)

        await ask_for_everything()
        for fault in (
            Fault(http_status=500, times=None),
            Fault(reset=True, times=None),
            Fault(error_code=1004, error_message=f"invalid api key {PROVIDER_KEY}", times=None),
            # Providers quote what they were sent.
            Fault(
                path="/v1/t2a_v2",
                error_code=2013,
                error_message="invalid params: " + CANARIES["words to speak"],
                times=None,
            ),
            Fault(path="/v1/voice_design", error_code=2013, error_message=f"invalid: {described}", times=None),
        ):
            minimax.inject(fault)
            await ask_for_everything()
            minimax.state.faults.clear()
        for credentials in (
            "Bearer " + CANARIES["a client's key at the origin"],
            "Basic " + CANARIES["basic credentials"],
            "Bearer " + CANARIES["another client's key"],
        ):
            headers = {"Authorization": credentials, "Proxy-Authorization": CANARIES["a proxy's credentials"]}
            for path in ("/v1/audio/voices", "/v1/audio/music/x", "/v1/audio/speech", "/v1/audio/../x", "/nowhere"):
                await ask("GET", path, headers=headers)
                await ask("POST", path, headers=headers, data=CANARIES["words to speak"])
        await ask("POST", "/v1/audio/speech", headers=bearer, data=b'{"input": "' + CANARIES["words to speak"].encode())
    return told


async def test_no_secret_is_told_anywhere(database_target: DatabaseTarget, tmp_path: Path) -> None:
    admin = free_port()
    async with MiniMaxSimulator(api_key=PROVIDER_KEY) as minimax, OriginSimulator() as origin:
        config = tmp_path / "gateway.yaml"
        config.write_text(
            CONFIG.format(
                admin=admin,
                minimax=minimax.base_url,
                origin=origin.base_url,
                provider_key=PROVIDER_KEY,
                origin_key=ORIGIN_KEY,
            )
        )
        environ = {"TEST_DATABASE_URL": database_url(database_target)}
        opened = await run(
            *("accounts", "create", "canary", "--credit", "100", "--json", "--config", str(config)), environ=environ
        )
        key = opened.fields["api_key"]
        async with running("serve", "--config", str(config), environ=environ) as gateway:
            port = (await gateway.event("serving"))["port"]
            told = await drive(f"http://127.0.0.1:{port}", key, minimax)
            async with aiohttp.ClientSession() as http:
                ids = [json.loads(line)["request_id"] for line in gateway.lines if '"event": "request"' in line]
                for path in ("/metrics", "/readyz", *(f"/requests/{each}" for each in ids)):
                    async with http.get(f"http://127.0.0.1:{admin}{path}") as answer:
                        told.append(await answer.text())
            await asyncio.sleep(0.2)
            assert await gateway.end(signal.SIGTERM) == 0
            told += gateway.lines
    written = "\n".join(told)
    assert len(ids) > 40, "the log was read"
    assert "provider_operator_fault" in written, "the failures happened"
    password = urlsplit(environ["TEST_DATABASE_URL"]).password
    secrets = {
        **CANARIES,
        "the account's key": key,
        "the provider's key": PROVIDER_KEY,
        "the origin's key": ORIGIN_KEY,
        **({"the database's password": password} if password else {}),
    }
    assert [name for name, secret in secrets.items() if secret in written] == []
