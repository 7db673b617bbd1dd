"""What every upstream is: the end of a route."""

from __future__ import annotations

from abc import ABC, abstractmethod

from kyma_proxy.flow import Flow, Reply


class Upstream(ABC):
    """Where a request ends: it turns a flow into a reply. One instance per entry of the configuration.

    The constructor only keeps what it is given; `start` opens the connection pool, `stop` closes it.
    """

    name: str
    """The upstream's name in the configuration."""

    @abstractmethod
    async def start(self) -> None:
        """Get ready to send; opens no connection yet, so an upstream that is away does not stop the gateway."""

    @abstractmethod
    async def stop(self) -> None:
        """Close the pool and every connection in it; also after a `start` that failed or never ran."""

    @abstractmethod
    async def send(self, flow: Flow) -> Reply:
        """Answer the request. Raises GatewayError when the upstream cannot, ClientLeftError when the client left."""
