"""One request from its complete head to its line in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp.web import BaseRequest, StreamResponse

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import BrokenFramingError, ErrorCode, GatewayError, NotAdmittedError, OutcomeUnknownError
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.flow import ClientLeftError, Delivery, Flow, Reply
from kyma_proxy.observe.endings import (
    COMPLETED,
    CRASHED,
    DRAINED,
    HEAD_TOO_LONG,
    MALFORMED,
    OUTCOME_UNKNOWN,
    SLOW_CLIENT,
    Ending,
    EndReason,
    ending_of,
    upstream_ending,
)
from kyma_proxy.observe.requests import RequestObserver, RequestRecord
from kyma_proxy.observe.tracing import RequestTrace
from kyma_proxy.server.body import IncomingBody
from kyma_proxy.server.connection import reset
from kyma_proxy.server.head import Framing, error_reply, sign
from kyma_proxy.server.intake import loggable_path, read_request, request_id_of
from kyma_proxy.server.occupancy import Occupancy
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.server.protocol import Connection, WrittenResponse
from kyma_proxy.server.turns import Turns
from kyma_proxy.server.writer import ReplyWriter, SlowClientError, StreamBrokeOffError

Handle = Callable[[Flow], Awaitable[Reply]]
"""Whatever answers requests: the pipeline."""

_log = structlog.get_logger("kyma_proxy.server")


class Exchanges:
    """Serves the requests of one listener."""

    def __init__(
        self, handle: Handle, options: ListenerOptions, observer: RequestObserver, occupancy: Occupancy
    ) -> None:
        self.handle = handle
        self.options = options
        self.observer = observer
        self.occupancy = occupancy
        self.turns = Turns()

    async def serve(self, request: BaseRequest) -> StreamResponse:
        """Serve one request; aiohttp calls this."""
        self.occupancy.request_begun()
        try:
            return await _Exchange(request, self).run()
        finally:
            self.occupancy.request_ended()


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: BaseRequest, listener: Exchanges) -> None:
        connection = request.protocol
        assert isinstance(connection, Connection)
        self._request = request
        self._connection = connection
        self._listener = listener
        self._flow: Flow | None = None
        self._body: IncomingBody | None = None
        self._writer = ReplyWriter(request, connection, listener.options.send_timeout_seconds)
        self._close = False
        self._started = 0.0
        self._trace: RequestTrace | None = None
        self._record = RequestRecord(request_id_of(request), request.method, loggable_path(request))

    async def run(self) -> WrittenResponse:
        """Answer the request, log it, and leave the connection ready for its next one or ended."""
        self._started = monotonic_seconds()
        self._listener.observer.started()
        try:
            reply = await self._answer()
            if reply is not None:
                await self._deliver(reply)
        except asyncio.CancelledError:
            self._record.ending = self._client_left()
            raise
        finally:
            self._log_end(monotonic_seconds() - self._started)
        if reply is None:
            # Nothing may be said, or nobody is there to hear it.
            self._end_connection()
        elif not self._body_arrived():
            await self._connection.linger()
        # Draining may have begun after the head went out without `Connection: close`.
        return WrittenResponse(keep_alive=not self._close and not self._listener.occupancy.draining)

    async def _answer(self) -> Reply | None:
        """The reply to send, or None where the connection ends without one."""
        try:
            listener = self._listener
            self._flow = flow = read_request(self._request, self._record.request_id, listener.options, listener.turns)
        except GatewayError as error:
            return self._refuse(error, HEAD_TOO_LONG if error.code is ErrorCode.URI_TOO_LONG else MALFORMED)
        # Kept here too: a plugin may give the flow another body.
        assert isinstance(flow.body, IncomingBody)
        self._body = flow.body
        if listener.options.tracing is not None:
            self._trace = listener.options.tracing.begin(flow)
        try:
            cors = self._listener.options.cors
            if cors is not None and (permission := cors.preflight(flow)) is not None:
                return permission
            if self._listener.occupancy.in_flight > self._listener.options.max_requests:
                raise _overloaded()
            return await self._listener.handle(flow)
        except GatewayError as error:
            return self._refuse(error, ending_of(error, flow.facts))
        except ClientLeftError:
            self._record.ending = self._client_left()
        except OutcomeUnknownError:
            self._record.ending = OUTCOME_UNKNOWN
        except Exception:  # noqa: BLE001 - whatever it is, the request fails closed; `_fail` logs it
            return self._fail()
        return None

    def _refuse(self, error: GatewayError, ending: Ending) -> Reply | None:
        if self._charged():
            _log.error("refused_after_charge", request_id=self._record.request_id, code=error.code.code)
            self._record.ending = OUTCOME_UNKNOWN
            return None
        self._record.ending = ending
        self._record.error_code = error.code.code
        self._close = self._close or error.close_connection
        return error_reply(error)

    def _fail(self) -> Reply | None:
        _log.exception("request_crashed", request_id=self._record.request_id)
        error = GatewayError(ErrorCode.INTERNAL_ERROR, "The gateway failed on this request.")
        return self._refuse(error, CRASHED)

    async def _deliver(self, reply: Reply) -> None:
        try:
            await self._write(reply)
        finally:
            if self._record.ending is not None:
                # Before the stream is closed, which may take a while: by now the client may ask for the next thing.
                self._end_flow(self._record.ending)
            await _close_stream(reply, self._record.request_id)

    async def _write(self, reply: Reply) -> None:
        """Write the reply; where that fails the connection is reset, so that no one takes a part for the whole."""
        # The rest of a body that is still arriving would be read as the next request.
        body_arrives = not self._body_arrived()
        self._close |= body_arrives or not self._request.keep_alive or self._listener.occupancy.draining
        sign(reply, self._record.request_id)
        if self._listener.options.cors is not None:
            self._listener.options.cors.dress(reply, self._request.headers)
        self._record.status = reply.status
        failpoints = self._listener.options.failpoints
        try:
            await failpoints.reach(Failpoint.REPLY, self._request)
            framing = await self._write_or_fail(reply)
            self._close = framing.close
            self._record.ending = self._record.ending or self._writer.ending
            await failpoints.reach(Failpoint.REPLIED, self._request)
        except ClientLeftError:
            self._break_off(self._client_left())
        except SlowClientError:
            self._break_off(SLOW_CLIENT)
        except StreamBrokeOffError as error:
            cause = error.__cause__ or error
            _log.warning("reply_broke_off", request_id=self._record.request_id, cause=repr(cause))
            self._break_off(self._broken_by(cause))
        except asyncio.CancelledError:
            reset(self._request.transport)
            raise
        except Exception:  # noqa: BLE001 - part of an answer may be out: nothing may be added to it
            _log.exception("reply_failed", request_id=self._record.request_id)
            self._break_off(OUTCOME_UNKNOWN if self._charged() else CRASHED)

    async def _write_or_fail(self, reply: Reply) -> Framing:
        """Write the reply, or a 500 in its place if its head cannot be written and nothing was bought with it."""
        try:
            return await self._writer.write(reply, self._close)
        except ValueError:
            failure = self._fail()
            if failure is None:
                raise
            sign(failure, self._record.request_id)
            self._record.status = failure.status
            return await self._writer.write(failure, self._close)

    def _charged(self) -> bool:
        return self._flow is not None and self._flow.charged

    def _facts(self) -> Mapping[str, Any]:
        return {} if self._flow is None else self._flow.facts

    def _broken_by(self, cause: BaseException) -> Ending:
        """Why an answer broke off: its upstream failed, or the client did with the rest of its body."""
        if isinstance(cause, ClientLeftError):
            return self._client_left()
        if isinstance(cause, BrokenFramingError) or (
            isinstance(cause, GatewayError) and cause.code is ErrorCode.REQUEST_TIMEOUT
        ):
            return ending_of(cause, self._facts())
        return upstream_ending(cause, self._facts(), within_answer=True)

    def _client_left(self) -> Ending:
        """The client left, and when; unless it was sent away."""
        if self._listener.occupancy.stopping:
            return DRAINED
        if self._writer.head_sent:
            by = "in_answer"
        elif self._body_arrived():
            by = "before_answer"
        else:
            by = "in_body"
        return Ending(EndReason.CLIENT_LEFT, by)

    def _break_off(self, ending: Ending) -> None:
        self._record.ending = ending
        self._close = True
        reset(self._request.transport)

    def _end_connection(self) -> None:
        self._close = True
        if self._request.transport is not None:
            self._request.transport.close()

    def _body_arrived(self) -> bool:
        return self._request.content.is_eof()

    def _log_end(self, seconds: float) -> None:
        record = self._record
        record.duration_seconds = seconds
        record.bytes_out = self._writer.bytes_out
        if self._writer.head_sent:
            record.first_byte_seconds = self._writer.head_at - self._started
        else:
            record.status = None
        if self._body is not None:
            record.bytes_in = self._body.received_bytes + self._writer.bytes_in
        if self._flow is not None:
            self._end_flow(record.ending or COMPLETED)
            record.path = self._flow.path
            record.identity = self._flow.identity
            record.facts = self._flow.facts
        if self._trace is not None:
            self._trace.end(record)
        self._listener.observer.ended(record)

    def _end_flow(self, ending: Ending) -> None:
        if self._flow is None:
            return
        try:
            self._flow.end(Delivery(self._record.status, ending, self._writer.body_bytes_taken))
        except Exception:  # noqa: BLE001 - the request is over: what a plugin does about it must not look like a fault of it
            _log.exception("end_of_request_failed", request_id=self._record.request_id)


def _overloaded() -> NotAdmittedError:
    message = "The gateway has too many requests under way. Try again shortly."
    return NotAdmittedError(ErrorCode.UNAVAILABLE, message, headers={"Retry-After": "1"})


async def _close_stream(reply: Reply, request_id: str) -> None:
    if isinstance(reply.body, bytes):
        return
    try:
        await reply.body.aclose()
    except Exception:  # noqa: BLE001 - the answer is out; a clean-up that fails must not look like a fault of it
        _log.exception("reply_failed_to_close", request_id=request_id)
