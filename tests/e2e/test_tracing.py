"""Traces as a collector gets them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kyma_proxy.testing.audio import silent_wav

SPEECH = {"model": "minimax-speech-turbo", "input": "Secret words to speak.", "voice": "English_Graceful_Lady"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """Takes spans over OTLP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.raw = b""
        self.services: set[str] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        async def take(request: web.BaseRequest) -> web.Response:
            body = await request.read()
            self.raw += body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                self.services.add(names["service.name"])
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            return web.Response()

        self._server = await asyncio.get_running_loop().create_server(web.Server(take), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/traces"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()


def attributes(span: Any) -> dict[str, Any]:
    return {
        each.key: each.value.int_value if each.value.HasField("int_value") else each.value.string_value
        for each in span.attributes
    }


@pytest.fixture
async def collector() -> Any:
    made = Collector()
    yield made
    made.stop()


async def test_a_span_for_each_request_and_each_upstream_it_asked(make_world: Any, collector: Collector) -> None:
    endpoint = await collector.start()
    world = await make_world(server=f'tracing: {{endpoint: "{endpoint}", sample_ratio: 1.0, service_name: edge}}')
    key = {"Authorization": f"Bearer {world.api_key}"}
    spoken = await world.request("POST", "/v1/audio/speech?token=secretquery", json=SPEECH, headers=key)
    assert spoken.status == 200
    await world.request("GET", "/v1/audio/voices", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    refused = await world.request("POST", "/v1/audio/speech", json=SPEECH)
    assert refused.status == 401
    handed_on = dict(world.origin.calls[-1].headers)["traceparent"]
    await world.http.close()
    await world.application.stop()
    by_name = {span.name: span for span in collector.spans}
    assert set(by_name) == {"POST /v1/audio/speech", "GET /v1/audio/**", "ask minimax", "ask origin"}
    assert len(collector.spans) == 5
    assert collector.services == {"edge"}
    server, asked = by_name["GET /v1/audio/**"], by_name["ask origin"]
    assert server.trace_id.hex() == asked.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert asked.parent_span_id == server.span_id
    assert handed_on == f"00-{TRACE}-{asked.span_id.hex()}-01"
    answers = sorted(
        (attributes(span)["http.response.status_code"], attributes(span).get("kyma.by", ""))
        for span in collector.spans
        if span.name.startswith("POST")
    )
    assert answers == [(200, ""), (401, "api_key_auth")]
    for secret in (b"Secret words", b"secretquery", world.api_key.encode(), world.minimax.api_key.encode()):
        assert secret not in collector.raw


async def test_a_collector_that_is_away_delays_nobody(make_world: Any) -> None:
    world = await make_world(server='tracing: {endpoint: "http://127.0.0.1:9/v1/traces", sample_ratio: 1.0}')
    key = {"Authorization": f"Bearer {world.api_key}"}
    assert (await world.request("POST", "/v1/audio/speech", json=SPEECH, headers=key)).status == 200


async def test_a_mint_has_a_span_of_what_the_provider_did(make_world: Any, collector: Collector) -> None:
    endpoint = await collector.start()
    world = await make_world(server=f'tracing: {{endpoint: "{endpoint}", sample_ratio: 1.0}}')
    assert (await world.clone(silent_wav(10, bits=8))).status == 200
    await world.http.close()
    await world.application.stop()
    by_name = {span.name: span for span in collector.spans}
    assert set(by_name) == {"POST /v1/audio/voice-clone", "ask minimax"}
    asked, server = by_name["ask minimax"], by_name["POST /v1/audio/voice-clone"]
    assert asked.parent_span_id == server.span_id
    assert server.start_time_unix_nano <= asked.start_time_unix_nano <= asked.end_time_unix_nano
    assert asked.end_time_unix_nano <= server.end_time_unix_nano
