"""`kyma-proxy reload` and SIGHUP, of a gateway in its own process."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import aiohttp

from e2e_kit.processes import Running, run, running


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def status_of(port: int, path: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status


async def serving(gateway: Running) -> int:
    return int((await gateway.event("serving"))["port"])


async def test_a_running_gateway_takes_over_its_file_or_says_why_not(environ: dict[str, str]) -> None:
    config, admin = Path(environ["KYMA_CONFIG"]), free_port()
    server = f'server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:{admin}"}}\n'
    good = config.read_text() + server
    config.write_text(good)
    nobody = await run("reload", environ=environ)
    assert (nobody.code, f"127.0.0.1:{admin}" in nobody.err) == (1, True)
    async with running("serve", environ=environ) as gateway:
        port = await serving(gateway)
        assert await status_of(port, "/v1/audio/voice-clone") == 404
        more = "plugins: [{use: api_key_auth}, {use: voice_clone, config: {upstream: m}}]\n"
        upstream = 'upstreams: {m: {adapter: minimax, base_url: "http://127.0.0.1:1", api_key: k}}\n'
        config.write_text(good + more + upstream)
        done = await run("reload", "--json", environ=environ)
        assert (done.code, done.fields["reloaded"]) == (0, True)
        assert await status_of(port, "/v1/audio/voice-clone") == 405, "it is guarded now"

        config.write_text(good + more.replace("voice_clone", "voice_cloen") + upstream)
        refused = await run("reload", environ=environ)
        line = good.count("\n") + 1
        assert refused.code == 2
        assert refused.err.startswith(f"{config}:{line}:")
        assert "did you mean" in refused.err
        logged = await gateway.event("configuration_refused")
        assert logged["position"].startswith(f"{config}:{line}:")
        assert await status_of(port, "/v1/audio/voice-clone") == 405, "the one before is in use"
        assert await status_of(admin, "/readyz") == 200

        config.write_text(good.replace("127.0.0.1:0", "127.0.0.1:1"))
        gateway.lines.clear()
        gateway.process.send_signal(signal.SIGHUP)
        assert "server.listen" in (await gateway.event("restart_needed"))["message"]
        await gateway.event("configuration_reloaded")
        assert await status_of(port, "/v1/audio/voice-clone") == 404
        assert await gateway.end(signal.SIGTERM) == 0


async def test_a_request_of_the_running_gateway_is_explained_by_its_id(environ: dict[str, str]) -> None:
    config, admin = Path(environ["KYMA_CONFIG"]), free_port()
    plugins = "plugins: [{use: api_key_auth}, {use: voice_clone, config: {upstream: m}}]\n"
    upstream = 'upstreams: {m: {adapter: minimax, base_url: "http://127.0.0.1:1", api_key: k}}\n'
    server = f'server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:{admin}", workers: 2}}\n'
    config.write_text(config.read_text() + server + plugins + upstream)
    assert (await run("explain", "req_1", environ=environ)).code == 1
    async with running("serve", environ=environ) as gateway:
        port = await serving(gateway)
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}/v1/audio/voice-clone"
            async with http.post(url, data=b"x", headers={"X-Request-Id": "told-by-me"}) as answer:
                assert answer.status == 401
        told = (await run("explain", "told-by-me", "--json", environ=environ)).fields
        assert (told["status"], told["code"], told["reason"], told["by"]) == (
            401,
            "auth_error",
            "refused",
            "api_key_auth",
        )
        assert told["explanation"] == ["answered with an error of the client's making", "by the plugin api_key_auth"]
        unknown = await run("explain", "never-seen", environ=environ)
        assert (unknown.code, "not remembered" in unknown.err) == (1, True)
        assert await gateway.end(signal.SIGTERM) == 0
