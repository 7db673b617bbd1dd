"""The gateway: guarded by canonical path whatever the spelling, otherwise routed."""

from types import MappingProxyType

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply, RequestTarget
from kyma_proxy.pipeline.gateway import Gateway, Snapshot
from kyma_proxy.pipeline.guards import Guard, Guards
from kyma_proxy.pipeline.paths import canonical_path
from kyma_proxy.pipeline.router import Router
from kyma_proxy.settings import RouteSettings
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.upstreams.base import Upstream

CLONE = "/v1/audio/voice-clone"


class _Origin(Upstream):
    name = "origin"

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def send(self, flow: Flow) -> Reply:
        self.sent.append(f"{flow.method} {flow.target.raw_path}")
        return Reply(299)


@pytest.fixture
def origin() -> _Origin:
    return _Origin()


@pytest.fixture
def gateway(origin: _Origin) -> Gateway:
    async def guarded(_flow: Flow) -> Reply:
        return Reply(200)

    made = Gateway()
    made.swap(
        Snapshot(
            guards=Guards({CLONE: Guard(CLONE, MappingProxyType({"POST": guarded}), "POST")}),
            router=Router([RouteSettings(path="/v1/audio/**", methods=None, models=None, upstream="origin")]),
            upstreams=MappingProxyType({"origin": origin}),
        )
    )
    return made


def flow_to(method: str, raw_path: str, headers: dict[str, str] | None = None) -> Flow:
    flow = make_flow(method, headers=headers)
    flow.target = RequestTarget(raw_path, None, canonical_path(raw_path))
    return flow


@pytest.mark.parametrize(
    "raw_path",
    [
        CLONE,
        f"{CLONE}/",
        "/v1//audio/voice-clone",
        "/v1/audio/voice%2Dclone",
        f"{CLONE};a=1",
        "/%761/audio/voice-clone",
    ],
)
async def test_every_spelling_of_a_guarded_path_meets_its_guard(
    gateway: Gateway, origin: _Origin, raw_path: str
) -> None:
    assert (await gateway.handle(flow_to("POST", raw_path))).status == 200
    assert not origin.sent


@pytest.mark.parametrize(
    "raw_path",
    [
        "/v1/audio%2Fvoice-clone",
        "/v1/audio%5Cvoice-clone",
        "/v1/audio%252Fvoice-clone",
        "/V1/audio/voice-clone",
        "/v1/audio/Voice-Clone",
        "/v1/audio/voice%252Dclone",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
async def test_a_disguise_is_refused_for_every_method(
    gateway: Gateway, origin: _Origin, raw_path: str, method: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        await gateway.handle(flow_to(method, raw_path))
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert not origin.sent


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
async def test_methods_that_a_guarded_path_does_not_serve_are_405(
    gateway: Gateway, origin: _Origin, method: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        await gateway.handle(flow_to(method, CLONE))
    assert (caught.value.code, caught.value.headers) == (ErrorCode.METHOD_NOT_ALLOWED, {"Allow": "POST"})
    assert not origin.sent


async def test_options_is_forwarded_on_the_exact_spelling_only(gateway: Gateway, origin: _Origin) -> None:
    assert (await gateway.handle(flow_to("OPTIONS", CLONE))).status == 299
    with pytest.raises(GatewayError) as caught:
        await gateway.handle(flow_to("OPTIONS", f"{CLONE}/"))
    assert caught.value.code is ErrorCode.METHOD_NOT_ALLOWED
    assert origin.sent == [f"OPTIONS {CLONE}"]


async def test_a_guarded_endpoint_does_not_switch_protocols(gateway: Gateway, origin: _Origin) -> None:
    headers = {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}
    with pytest.raises(GatewayError) as caught:
        await gateway.handle(flow_to("POST", CLONE, headers))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_everything_else_under_the_prefix_is_forwarded_as_it_came(gateway: Gateway, origin: _Origin) -> None:
    assert (await gateway.handle(flow_to("GET", "/v1/audio//voices%2Fx;y=1"))).status == 299
    assert origin.sent == ["GET /v1/audio//voices%2Fx;y=1"]


@pytest.mark.parametrize("raw_path", ["/", "/v1/audio", "/v1/chat/completions", "/healthz", "/metrics"])
async def test_everything_outside_the_prefix_is_404(gateway: Gateway, origin: _Origin, raw_path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await gateway.handle(flow_to("GET", raw_path))
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert not origin.sent


async def test_a_gateway_without_a_configuration_serves_nothing() -> None:
    with pytest.raises(GatewayError) as caught:
        await Gateway().handle(flow_to("GET", "/v1/audio/voices"))
    assert caught.value.code is ErrorCode.NOT_FOUND
