"""The chain: onion order, and failing closed."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError, OutcomeUnknownError
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.pipeline.chain import compile_chain
from kyma_proxy.plugin import BodyUse, NoBody, Plugin, PluginConfig, Proceed, Spool
from kyma_proxy.testing.flows import BytesBody, make_flow

Handle = Callable[[Flow, Proceed], Any]


class _Scripted(Plugin[PluginConfig]):
    config_model = PluginConfig
    endpoints = ()
    use: BodyUse = NoBody()

    def __init__(self, plugin_name: str, handle: Handle) -> None:
        super().__init__(PluginConfig(), None)  # type: ignore[arg-type]
        type(self).name = plugin_name
        self._handle = handle

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return await self._handle(flow, proceed)  # type: ignore[no-any-return]


async def _terminal(_flow: Flow) -> Reply:
    return Reply(204)


async def test_plugins_wrap_each_other_first_is_outermost() -> None:
    story: list[str] = []

    def wrapping(name: str) -> Handle:
        async def handle(flow: Flow, proceed: Proceed) -> Reply:
            story.append(f"{name} in")
            reply = await proceed(flow)
            story.append(f"{name} out")
            return reply

        return handle

    chain = compile_chain([_Scripted("a", wrapping("a")), _Scripted("b", wrapping("b"))], _terminal)
    assert (await chain(make_flow())).status == 204
    assert story == ["a in", "b in", "b out", "a out"]


@pytest.mark.parametrize("returned", [None, 200, "ok"])
async def test_a_plugin_that_returns_no_reply_fails_the_request(returned: object) -> None:
    async def handle(_flow: Flow, _proceed: Proceed) -> object:
        return returned

    with pytest.raises(GatewayError) as caught:
        await compile_chain([_Scripted("bad", handle)], _terminal)(make_flow())
    assert caught.value.code is ErrorCode.INTERNAL_ERROR


async def test_a_plugin_that_crashes_fails_the_request_and_is_never_skipped() -> None:
    reached = False

    async def crash(_flow: Flow, _proceed: Proceed) -> Reply:
        raise KeyError("secret detail")

    async def terminal(_flow: Flow) -> Reply:
        nonlocal reached
        reached = True
        return Reply(200)

    flow = make_flow()
    with pytest.raises(GatewayError) as caught:
        await compile_chain([_Scripted("crasher", crash)], terminal)(flow)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert "secret detail" not in caught.value.message
    assert flow.facts["plugin"] == "crasher"
    assert not reached


async def test_refusals_and_unknown_outcomes_pass_through_unchanged() -> None:
    for error in (GatewayError(ErrorCode.AUTH_ERROR, "who?"), OutcomeUnknownError("kyma_x")):

        async def refuse(_flow: Flow, _proceed: Proceed, error: Exception = error) -> Reply:
            raise error

        with pytest.raises(type(error)) as caught:
            await compile_chain([_Scripted("guard", refuse)], _terminal)(make_flow())
        assert caught.value is error


async def test_a_body_over_a_plugins_bound_is_refused_at_that_plugins_turn() -> None:
    story: list[str] = []

    async def first(flow: Flow, proceed: Proceed) -> Reply:
        story.append("first")
        return await proceed(flow)

    async def second(_flow: Flow, _proceed: Proceed) -> Reply:
        story.append("second")
        return Reply(200)

    class _Spooling(_Scripted):
        @classmethod
        def body_use(cls, config: PluginConfig) -> BodyUse:
            return Spool(4)

    chain = compile_chain([_Scripted("first", first), _Spooling("second", second)], _terminal)
    with pytest.raises(GatewayError) as caught:
        await chain(make_flow(body=BytesBody([b"12345"])))
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert story == ["first"]


@pytest.mark.parametrize("error", [ValueError("late"), GatewayError(ErrorCode.INVALID_REQUEST, "no")])
async def test_a_reply_that_a_failing_plugin_had_in_hand_is_closed(error: Exception) -> None:
    closed: list[bool] = []

    class Stream:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"

        async def aclose(self) -> None:
            closed.append(True)

    async def terminal(_flow: Flow) -> Reply:
        return Reply(200, body=Stream())

    async def fail(flow: Flow, proceed: Proceed) -> Reply:
        await proceed(flow)
        raise error

    async def pass_on(flow: Flow, proceed: Proceed) -> Reply:
        return await proceed(flow)

    with pytest.raises(GatewayError):
        await compile_chain([_Scripted("outer", fail), _Scripted("inner", pass_on)], terminal)(make_flow())
    assert closed == [True]
    closed.clear()
    await compile_chain([_Scripted("outer", pass_on)], terminal)(make_flow())
    assert not closed
