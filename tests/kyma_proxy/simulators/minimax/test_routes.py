import pytest

from kyma_proxy.simulators.minimax.routes import OPERATIONS, PATHS


async def test_an_unknown_path_is_plain_text_404(caller, fixture_bytes) -> None:
    async with caller.session.post("/v1/text_to_speech", json={}) as reply:
        assert reply.status == 404
        assert reply.content_type == "text/plain"
        assert await reply.read() == fixture_bytes("minimax/not_found.reply.txt")
        assert reply.headers["Trace-Id"]


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_the_other_method_is_404_too(caller, path) -> None:
    methods = {method for method, known in OPERATIONS if known == path}
    for method in {"GET", "POST"} - methods:
        async with caller.session.request(method, path) as reply:
            assert reply.status == 404


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
async def test_every_call_is_served(caller, method, path) -> None:
    async with caller.session.request(method, path) as reply:
        assert reply.status == 200
        assert (await reply.json())["base_resp"]["status_code"] == 2013
