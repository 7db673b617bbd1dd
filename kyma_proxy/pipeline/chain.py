"""The chain around a request: plugins folded into one callable when the configuration is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from kyma_proxy.errors import ErrorCode, GatewayError, OutcomeUnknownError
from kyma_proxy.flow import ClientLeftError, Flow, Reply
from kyma_proxy.plugin import Plugin, Proceed, Spool

_log = structlog.get_logger("kyma_proxy.pipeline")


def compile_chain(plugins: Sequence[Plugin[Any]], terminal: Proceed) -> Proceed:
    """Fold plugins, first is outermost, around what comes after the last of them."""
    proceed = terminal
    for plugin in reversed(plugins):
        proceed = _Link(plugin, proceed)
    return proceed


class _Link:
    """One plugin and what comes after it.

    A plugin that crashes fails the request: skipping it would let a request past a guard.
    """

    __slots__ = ("_body_max_bytes", "_plugin", "_proceed")

    def __init__(self, plugin: Plugin[Any], proceed: Proceed) -> None:
        use = plugin.body_use(plugin.config)
        self._plugin = plugin
        self._proceed = proceed
        self._body_max_bytes = use.max_bytes if isinstance(use, Spool) else None

    async def __call__(self, flow: Flow) -> Reply:
        inner: Reply | None = None

        async def proceed(flow: Flow) -> Reply:
            nonlocal inner
            inner = await self._proceed(flow)
            return inner

        try:
            return await self._handle(flow, proceed)
        except BaseException:
            # The plugin had a reply in hand and did not return it: what streams behind it would run on.
            if inner is not None and not isinstance(inner.body, bytes):
                await inner.body.aclose()
            raise

    async def _handle(self, flow: Flow, proceed: Proceed) -> Reply:
        try:
            if self._body_max_bytes is not None:
                flow.body.narrow(self._body_max_bytes)
            reply = await self._plugin.handle(flow, proceed)
            if not isinstance(reply, Reply):
                raise TypeError(f"handle() returned {type(reply).__name__}, not a Reply")
        except GatewayError:
            flow.facts.setdefault("plugin", self._plugin.name)
            raise
        except (OutcomeUnknownError, ClientLeftError):
            raise
        except Exception as error:
            flow.facts.setdefault("plugin", self._plugin.name)
            _log.exception("plugin_crashed", plugin=self._plugin.name, request_id=flow.id)
            raise GatewayError(ErrorCode.INTERNAL_ERROR, "The gateway failed on this request.") from error
        return reply
