"""An owner is answered from the books; everybody and everything else goes on as it came."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, cast

import pytest

from kyma_proxy.api import ErrorCode, Flow, GatewayError, Identity, KeepAliveTerms, Reply
from kyma_proxy.testing.flows import BytesBody, make_flow
from kyma_proxy.testing.library import KeepAliveInMemory, LibraryInMemory, make_voice
from kyma_proxy.testing.services import KeysInMemory, make_services
from kyma_voice_library.config import VoiceLibraryConfig
from kyma_voice_library.plugin import LIST, VoiceLibrary

ADA, BOB = Identity("acct_ada", "key_1"), Identity("acct_bob", "key_2")
OWN, THEIRS, NEW, DEAD = (f"kyma_{letter * 16}" for letter in "abcd")
FORWARDED = 299


class Scene:
    """The plugin, its books, and what is behind it."""

    def __init__(self, **config: Any) -> None:
        self.keys = KeysInMemory({"ky-ada": ADA, "ky-bob": BOB})
        self.library = LibraryInMemory(
            [
                make_voice(OWN, "acct_ada", 1, name="One"),
                make_voice("Narrator (deep)", "acct_ada", 2, kind="adopted"),
                make_voice(NEW, "acct_ada", 3, status="pending"),
                make_voice(DEAD, "acct_ada", 4, status="revoked"),
                make_voice(THEIRS, "acct_bob", 5),
            ]
        )
        self.keep_alive = KeepAliveInMemory()
        services = replace(
            make_services(keys=self.keys), library=cast(Any, self.library), keep_alive=cast(Any, self.keep_alive)
        )
        self.plugin = VoiceLibrary(VoiceLibraryConfig(upstream="minimax", **config), services)
        self.forwarded: list[Flow] = []

    async def proceed(self, flow: Flow) -> Reply:
        self.forwarded.append(flow)
        return Reply(FORWARDED)

    async def ask(
        self,
        method: str = "GET",
        path: str = LIST,
        query: str | None = None,
        *,
        key: str | None = "ky-ada",
        body: bytes = b"",
    ) -> Reply:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        flow = make_flow(method, path, headers=headers, body=BytesBody([body]))
        flow.target = replace(flow.target, raw_query=query)
        return await self.plugin.handle(flow, self.proceed)

    async def refusal(self, *args: Any, **kwargs: Any) -> ErrorCode:
        with pytest.raises(GatewayError) as caught:
            await self.ask(*args, **kwargs)
        assert not self.forwarded
        return caught.value.code


def told(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    assert reply.status == 200
    return json.loads(reply.body)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("query", [None, "", "scope=all", "scope", "Scope=mine", "scope=mine2", "limit=0"])
async def test_the_origins_list_stays_the_origins(scene: Scene, query: str | None) -> None:
    assert (await scene.ask(query=query)).status == FORWARDED
    assert scene.forwarded[0].identity is None


@pytest.mark.parametrize("key", [None, "ky-unknown", "sk-of-the-origin"])
@pytest.mark.parametrize(("path", "query"), [(LIST, "scope=mine"), (f"{LIST}/{OWN}", None)])
async def test_who_has_no_key_of_ours_is_the_origins_to_judge(
    scene: Scene, key: str | None, path: str, query: str | None
) -> None:
    for method in ("GET",) if path == LIST else ("GET", "PATCH", "DELETE"):
        assert (await scene.ask(method, path, query, key=key)).status == FORWARDED
    assert not scene.library.deleted


@pytest.mark.parametrize("authorization", ["Basic eA==", "ky-ada", "Bearer"])
async def test_other_credentials_are_forwarded(scene: Scene, authorization: str) -> None:
    flow = make_flow("DELETE", f"{LIST}/{OWN}", headers={"Authorization": authorization})
    assert (await scene.plugin.handle(flow, scene.proceed)).status == FORWARDED


async def test_ones_own_voices_in_the_shape_of_the_public_list(scene: Scene) -> None:
    page = told(await scene.ask(query="scope=mine"))
    assert [voice["voice_id"] for voice in page["data"]] == [NEW, "Narrator (deep)", OWN]
    assert (page["object"], page["has_more"], page["first_id"], page["last_id"]) == ("list", False, NEW, OWN)
    assert page["data"][-1] == {
        "voice_id": OWN,
        "name": "One",
        "category": "cloned",
        "labels": {},
        "preview_url": None,
        "description": None,
        "kind": "clone",
        "state": "active",
        "created_at": "2026-01-01T00:01:00Z",
        "last_used_at": None,
        "kept_alive_at": None,
        "expires_at": None,
    }
    assert page["data"][0]["state"] == "pending"


async def test_pages_follow_each_other(scene: Scene) -> None:
    seen: list[str] = []
    query = "scope=mine&limit=2"
    for _ in range(5):
        page = told(await scene.ask(query=query))
        seen += [voice["voice_id"] for voice in page["data"]]
        if not page["has_more"]:
            break
        query = f"limit=2&after={page['last_id'].replace(' ', '%20')}&scope=mine"
    assert seen == [NEW, "Narrator (deep)", OWN]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=", "limit=1&limit=2", f"after={THEIRS}", "after=x"]
)
async def test_a_page_that_cannot_be_is_refused(scene: Scene, query: str) -> None:
    assert await scene.refusal(query=f"scope=mine&{query}") is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("path", [OWN, OWN.replace("_", "%5F"), "Narrator%20(deep)", "Narrator%20%28deep%29"])
async def test_a_voice_is_read_whatever_its_id_is_spelled_like(scene: Scene, path: str) -> None:
    assert told(await scene.ask(path=f"{LIST}/{path}"))["state"] == "active"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("voice_id", [THEIRS, DEAD])
async def test_anothers_and_deleted_voices_are_alike_not_there(scene: Scene, method: str, voice_id: str) -> None:
    code = await scene.refusal(method, f"{LIST}/{voice_id}", body=b'{"name": "x"}')
    assert code is ErrorCode.VOICE_NOT_FOUND
    assert scene.library.voices[THEIRS].name is None


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("voice_id", ["21m00Tcm4TlvDq8ikWAM", "kyma_0000000000000000", "%ff", "a%2Fb"])
async def test_what_is_not_on_file_goes_on_with_its_body_unread(scene: Scene, method: str, voice_id: str) -> None:
    assert (await scene.ask(method, f"{LIST}/{voice_id}", body=b"as it came")).status == FORWARDED
    body = scene.forwarded[0].body
    assert isinstance(body, BytesBody)
    assert not body.was_read


@pytest.mark.parametrize(
    ("sent", "name"),
    [('{"name": "Näme"}', "Näme"), ('{"name": null}', None), ('{"name": "  "}', None), ('{"name": "a", "x": 1}', "a")],
)
async def test_renaming(scene: Scene, sent: str, name: str | None) -> None:
    assert told(await scene.ask("PATCH", f"{LIST}/{OWN}", body=sent.encode()))["name"] == name
    assert scene.library.voices[OWN].name == name


@pytest.mark.parametrize(
    "sent", [b"", b"{}", b"[]", b'{"name": 1}', b'{"name": "%s"}' % (b"x" * 65), b'{"name": "a\\u0000"}', b"\xff"]
)
async def test_a_name_that_cannot_be_is_refused(scene: Scene, sent: bytes) -> None:
    assert await scene.refusal("PATCH", f"{LIST}/{OWN}", body=sent) is ErrorCode.INVALID_REQUEST
    assert scene.library.voices[OWN].name == "One"


async def test_a_body_without_end_is_refused(scene: Scene) -> None:
    assert await scene.refusal("PATCH", f"{LIST}/{OWN}", body=bytes(70_000)) is ErrorCode.TOO_LARGE


async def test_deleting(scene: Scene) -> None:
    assert told(await scene.ask("DELETE", f"{LIST}/{OWN}")) == {"voice_id": OWN, "deleted": True}
    assert scene.library.deleted == [OWN]
    assert await scene.refusal("DELETE", f"{LIST}/{OWN}") is ErrorCode.VOICE_NOT_FOUND
    assert await scene.refusal("DELETE", f"{LIST}/{NEW}") is ErrorCode.REQUEST_IN_PROGRESS


@pytest.mark.parametrize(
    ("path", "query", "goes_on"),
    [(LIST, "scope=mine", False), (f"{LIST}/{OWN}", None, False), (f"{LIST}/Rachel", None, True), (LIST, None, True)],
)
async def test_while_the_database_is_away_only_what_cannot_be_ours_goes_on(
    scene: Scene, path: str, query: str | None, goes_on: bool
) -> None:
    scene.keys.away = True
    if goes_on:
        assert (await scene.ask(path=path, query=query)).status == FORWARDED
    else:
        assert await scene.refusal(path=path, query=query) is ErrorCode.UNAVAILABLE


async def test_voices_are_kept_alive_only_where_that_is_wanted() -> None:
    for wanted in (False, True):
        scene = Scene(keep_alive=wanted, keep_alive_hours=2.0, keep_alive_per_hour=7, keep_alive_line="Hm.")
        await scene.plugin.start()
        await asyncio.sleep(0)
        await scene.plugin.stop()
        assert scene.keep_alive.following == ([("minimax", KeepAliveTerms(7200.0, 7, "Hm."))] if wanted else [])


def test_explain_says_what_becomes_of_unused_voices() -> None:
    config = VoiceLibraryConfig(upstream="minimax", keep_alive=True)
    assert "24 hours" in VoiceLibrary.explain(config)["unused voices"]
    assert "left" in VoiceLibrary.explain(VoiceLibraryConfig(upstream="minimax"))["unused voices"]
