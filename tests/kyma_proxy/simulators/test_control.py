import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from pydantic import BaseModel, ConfigDict

from kyma_proxy.simulators.control import add_control_routes, changed


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: int = 1
    name: str = "a"


def test_only_the_given_fields_change() -> None:
    assert changed(Model(size=3), b'{"name": "b"}') == Model(size=3, name="b")


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"sise": 1}', b'{"size": "1"}'])
def test_what_means_nothing_is_refused(body) -> None:
    with pytest.raises(ValueError):
        changed(Model(), body)


async def test_switches_over_http() -> None:
    turned: list[bytes] = []

    def turn(body: bytes) -> None:
        if not body:
            raise ValueError("turn what?")
        turned.append(body)

    app = web.Application()
    add_control_routes(app, {"knob": turn}, lambda: {"turned": len(turned)})
    async with TestServer(app) as server, ClientSession(server.make_url("/_simulator/")) as session:
        async with session.post("knob", data=b"left") as reply:
            assert (reply.status, await reply.json()) == (200, {"turned": 1})
        async with session.post("knob") as reply:
            assert (reply.status, await reply.text()) == (400, "turn what?")
        async with session.get("state") as reply:
            assert await reply.json() == {"turned": 1}
        async with session.post("other", data=b"left") as reply:
            assert reply.status == 404
    assert turned == [b"left"]
