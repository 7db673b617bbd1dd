"""Pages in browsers that ask the gateway directly: pre-flights, and what answers tell a browser.

Source: the Fetch standard, section 3.2 (the CORS protocol). What an origin says of it in a forwarded answer is
replaced: the gateway is whom the page asked, and a browser takes no header twice.
"""

from __future__ import annotations

from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.settings import CorsSettings

ROUTE: Final = "preflight"
"""What the log and the metrics call pre-flights."""
_GUARDABLE_PREFIX: Final = "/v1/audio/"
_ANSWER_HEADERS: Final = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
)


class Cors:
    """The configured permissions."""

    def __init__(self, settings: CorsSettings) -> None:
        self._any_origin = "*" in settings.origins
        self._origins = frozenset(settings.origins)
        self._any_header = "*" in settings.headers
        self._headers = ", ".join(settings.headers)
        self._methods = ", ".join(settings.methods)
        self._exposed = ", ".join(settings.expose_headers)
        self._max_age = str(settings.max_age_seconds)
        self._credentials = settings.credentials

    def preflight(self, flow: Flow) -> Reply | None:
        """The answer to a pre-flight, which no upstream sees; None for any other request.

        Raises GatewayError ORIGIN_NOT_ALLOWED.
        """
        if flow.method != "OPTIONS" or "Access-Control-Request-Method" not in flow.headers:
            return None
        origin = flow.headers.get("Origin")
        if origin is None or not flow.path.startswith(_GUARDABLE_PREFIX):
            return None
        flow.facts["route"] = ROUTE
        if not self._allows(origin):
            raise GatewayError(ErrorCode.ORIGIN_NOT_ALLOWED, "Pages of this origin may not ask here.")
        headers: CIMultiDict[str] = CIMultiDict({"Access-Control-Allow-Methods": self._methods})
        asked = flow.headers.getall("Access-Control-Request-Headers", [])
        if asked and self._any_header:
            # `*` would not cover Authorization (Fetch standard, section 3.2.3).
            headers["Access-Control-Allow-Headers"] = ", ".join(asked)
        elif not self._any_header:
            headers["Access-Control-Allow-Headers"] = self._headers
        headers["Access-Control-Max-Age"] = self._max_age
        headers["Vary"] = "Access-Control-Request-Method, Access-Control-Request-Headers"
        return Reply(204, headers)

    def dress(self, reply: Reply, asked: CIMultiDictProxy[str]) -> None:
        """Have an answer say what its page may see of it, to a request with the headers `asked`."""
        if reply.forwarded:
            for name in _ANSWER_HEADERS:
                reply.headers.popall(name, None)
        if not self._any_origin:
            _vary_by_origin(reply.headers)
        origin = asked.get("Origin")
        if origin is None or not self._allows(origin):
            return
        reply.headers["Access-Control-Allow-Origin"] = "*" if self._any_origin else origin
        if self._exposed:
            reply.headers["Access-Control-Expose-Headers"] = self._exposed
        if self._credentials:
            reply.headers["Access-Control-Allow-Credentials"] = "true"

    def _allows(self, origin: str) -> bool:
        return self._any_origin or origin in self._origins


def _vary_by_origin(headers: CIMultiDict[str]) -> None:
    named = {name.strip().lower() for value in headers.getall("Vary", []) for name in value.split(",")}
    if not named & {"origin", "*"}:
        headers.add("Vary", "Origin")
