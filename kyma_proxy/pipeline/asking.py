"""An upstream is asked something: the trace gets a span of it, and the log how long it took."""

from __future__ import annotations

from types import TracebackType

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.flow import Flow


class Asking:
    """Around a question to an upstream that a request leads to: a context manager.

    Set `status` once there is an answer; without one the span has failed. Afterwards `milliseconds` tells how long it
    took.
    """

    __slots__ = ("_asked_at", "_flow", "_upstream", "milliseconds", "status")

    def __init__(self, flow: Flow, upstream: str) -> None:
        self._flow = flow
        self._upstream = upstream
        self._asked_at = 0.0
        self.status: int | None = None
        self.milliseconds = 0.0

    def __enter__(self) -> Asking:
        trace = self._flow.trace
        if trace is not None:
            self._flow.traceparent = trace.asking(self._upstream)
        self._asked_at = monotonic_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.milliseconds = round((monotonic_seconds() - self._asked_at) * 1000, 3)
        if self._flow.trace is not None:
            self._flow.trace.answered(self.status)


class AskingProvider(Asking):
    """Around what a plugin has a provider do itself, such as making a voice: `provider_ms` tells of it in the log.

    It is not the `upstream_ms` of the metrics: what comes before it is the client's sending, not the gateway's work.
    """

    __slots__ = ()

    def __enter__(self) -> AskingProvider:
        self._flow.facts["upstream"] = self._upstream
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.status = 200
        super().__exit__(kind, error, trace)
        self._flow.facts["provider_ms"] = self.milliseconds
