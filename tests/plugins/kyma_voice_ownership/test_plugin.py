"""Speech with a voice of one's own proceeds, everything doubtful is refused, and nothing is changed on its way."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kyma_proxy.api import ErrorCode, Flow, GatewayError, Identity, Reply, WholeBody
from kyma_proxy.testing.flows import BytesBody, make_flow
from kyma_proxy.testing.services import OwnershipInMemory, make_services
from kyma_voice_ownership import plugin as plugin_module
from kyma_voice_ownership.config import VoiceOwnershipConfig
from kyma_voice_ownership.plugin import OFF_LOOP_BYTES, VoiceOwnership

ADA = Identity("acct_ada", "key_1")
OWN, THEIRS, DEAD = "kyma_00000000000000aa", "kyma_00000000000000bb", "kyma_00000000000000cc"
ADOPTED = "Narrator (deep)"
BOOKS: dict[str, str | None] = {
    OWN: "acct_ada",
    THEIRS: "acct_bob",
    DEAD: None,
    ADOPTED: "acct_bob",
    "12345678": "acct_bob",
}


class Rest:
    """What comes after the plugin; `flow` is what reached it."""

    def __init__(self) -> None:
        self.flow: Flow | None = None

    async def __call__(self, flow: Flow) -> Reply:
        self.flow = flow
        return Reply(200)


def speech(content: bytes | dict[str, Any], headers: Any = None, query: str | None = None) -> Flow:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    flow = make_flow(path="/v1/audio/speech", headers=headers, body=BytesBody([raw[:7], raw[7:]]), identity=ADA)
    flow.target = type(flow.target)(flow.target.raw_path, query, flow.target.path)
    return flow


async def passed(flow: Flow, books: OwnershipInMemory | None = None, **config: Any) -> Flow:
    """What reaches the rest of the chain."""
    plugin = VoiceOwnership(VoiceOwnershipConfig(**config), make_services(ownership=books or OwnershipInMemory(BOOKS)))
    rest = Rest()
    assert (await plugin.handle(flow, rest)).status == 200
    assert rest.flow is not None
    return rest.flow


async def refusal(flow: Flow, books: OwnershipInMemory | None = None, **config: Any) -> GatewayError:
    """Why nothing does."""
    plugin = VoiceOwnership(VoiceOwnershipConfig(**config), make_services(ownership=books or OwnershipInMemory(BOOKS)))
    rest = Rest()
    with pytest.raises(GatewayError) as caught:
        await plugin.handle(flow, rest)
    assert rest.flow is None
    return caught.value


async def test_what_was_checked_goes_on_as_it_came() -> None:
    raw = json.dumps({"model": "minimax-speech-hd", "input": f"Say {THEIRS}.", "voice": OWN}, indent=3).encode()
    flow = await passed(speech(raw))
    assert (flow.model, flow.document) == ("minimax-speech-hd", json.loads(raw))
    assert isinstance(flow.body, WholeBody)
    assert flow.body.content == raw
    assert flow.facts["model"] == "minimax-speech-hd"


async def test_a_packed_body_is_read_and_goes_on_packed() -> None:
    raw = gzip.compress(json.dumps({"voice": OWN}).encode())
    flow = await passed(speech(raw, {"Content-Encoding": "gzip"}))
    assert flow.document == {"voice": OWN}
    assert isinstance(flow.body, WholeBody)
    assert flow.body.content == raw
    packed = gzip.compress(json.dumps({"voice": THEIRS}).encode())
    assert (await refusal(speech(packed, {"Content-Encoding": "gzip"}))).code is ErrorCode.VOICE_NOT_OWNED


@pytest.mark.parametrize("voice", ["alloy", "English_Graceful_Lady", "kyma_ffffffffffffffff", OWN, "", None])
async def test_own_and_unlisted_voices_pass_whatever_the_model(voice: str | None) -> None:
    for model in ("minimax-speech-hd", "eleven-v3", None):
        document = {"voice": voice, "input": "Hello."} | ({"model": model} if model else {})
        assert (await passed(speech(document))).model == model


async def test_unlisted_ids_like_ours_can_be_denied() -> None:
    unlisted = {"voice_id": "kyma_ffffffffffffffff"}
    assert (await refusal(speech(unlisted), deny_unlisted_prefix=True)).code is ErrorCode.VOICE_NOT_OWNED
    await passed(speech({"voice_id": OWN}), deny_unlisted_prefix=True)
    await passed(speech({"voice_id": "alloy"}), deny_unlisted_prefix=True)


async def test_every_refusal_of_a_voice_is_the_same_answer() -> None:
    answers = [
        await refusal(speech({"voice": voice}), deny_unlisted_prefix=True)
        for voice in (THEIRS, DEAD, ADOPTED, "kyma_ffffffffffffffff")
    ]
    assert {(each.code, each.message, tuple(each.headers), each.should_retry) for each in answers} == {
        (ErrorCode.VOICE_NOT_OWNED, answers[0].message, (), False)
    }


@given(
    st.sampled_from([THEIRS, DEAD, ADOPTED]),
    st.lists(st.sampled_from(["metadata", "voice_setting", "extra_body", "x", "input"]), min_size=1, max_size=6),
    st.sampled_from(["voice_id", "voice", "id", "speaker", "Voice_ID"]),
    st.sampled_from(["minimax-speech-hd", "eleven-v3", ""]),
    st.booleans(),
)
async def test_a_foreign_voice_is_refused_at_any_depth(
    voice: str, path: list[str], key: str, model: str, as_string: bool
) -> None:
    value: Any = {key: voice}
    for name in path[1:]:
        value = {name: value}
    document = {"model": model, "voice": OWN, path[0]: json.dumps(value) if as_string else value}
    if as_string and path[0] in ("input", "voice_setting"):
        return  # speech, or no shape that a voice setting has
    assert (await refusal(speech(document))).code is ErrorCode.VOICE_NOT_OWNED


async def test_one_foreign_voice_among_own_ones_is_enough() -> None:
    weights = [{"voice_id": OWN, "weight": 50}, {"voice_id": THEIRS, "weight": 50}]
    for key in ("timbre_weights", "timber_weights"):
        assert (await refusal(speech({key: weights}))).code is ErrorCode.VOICE_NOT_OWNED


async def test_ids_in_the_query_are_checked() -> None:
    document = {"voice": OWN}
    assert (await refusal(speech(document, query=f"voice_id={THEIRS}"))).code is ErrorCode.VOICE_NOT_OWNED
    await passed(speech(document, query=f"voice_id={OWN}"))


async def test_a_body_that_calls_itself_a_form_is_checked_as_one_too() -> None:
    document = {"voice": OWN, "input": "&voice_id=Narrator+(deep)&"}
    await passed(speech(document))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await refusal(speech(document, headers))).code is ErrorCode.VOICE_NOT_OWNED
    await passed(speech({"voice": OWN, "input": "Hello & good-bye."}, headers))


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "image/png", ""])
async def test_the_content_type_excuses_nothing(content_type: str) -> None:
    error = await refusal(speech({"voice": THEIRS}, {"Content-Type": content_type}))
    assert error.code is ErrorCode.VOICE_NOT_OWNED


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "application/json; charset=utf-16"}, ErrorCode.INVALID_REQUEST),
        ({"Content-Encoding": "br"}, ErrorCode.UNSUPPORTED_FORMAT),
        (CIMultiDict([("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]), ErrorCode.UNSUPPORTED_FORMAT),
        ({"Content-Encoding": "gzip"}, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_cannot_be_read_is_refused(headers: Any, code: ErrorCode) -> None:
    assert (await refusal(speech({"voice": OWN}, headers))).code is code


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b'{"voice":1}', b'{"model":1}', b'{"model":["minimax-speech-hd"]}', b'{"a":1,"a":2}'],
)
async def test_what_is_no_request_is_refused_without_asking_the_books(content: bytes) -> None:
    books = OwnershipInMemory(BOOKS)
    assert (await refusal(speech(content), books)).code is ErrorCode.INVALID_REQUEST
    assert not books.asked


async def test_a_packed_bomb_is_413() -> None:
    bomb = gzip.compress(b" " * 3_000_000)
    assert (await refusal(speech(bomb, {"Content-Encoding": "gzip"}))).code is ErrorCode.TOO_LARGE


async def test_a_large_body_is_read_as_strictly_as_a_small_one() -> None:
    large = "x" * (OFF_LOOP_BYTES + 1)
    assert (await passed(speech({"voice": OWN, "input": large}))).document == {"voice": OWN, "input": large}
    assert (await refusal(speech({"voice": THEIRS, "input": large}))).code is ErrorCode.VOICE_NOT_OWNED
    assert (await refusal(speech({"voice": 1, "input": large}))).code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("packed", [True, False])
async def test_packed_and_large_bodies_are_read_off_the_loop(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            threads.add(threading.get_ident())
            return function(*args)

        return call

    for name in ("unpack", "parse_document", "voice_candidates"):
        monkeypatch.setattr(f"kyma_voice_ownership.plugin.{name}", recorded(getattr(plugin_module, name)))
    raw = json.dumps({"voice": OWN, "input": "x" * (10 if packed else 9000)}).encode()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    await passed(speech(gzip.compress(raw) if packed else raw, headers))
    assert threads
    assert threading.get_ident() not in threads


async def test_books_that_are_away_are_503() -> None:
    books = OwnershipInMemory(GatewayError(ErrorCode.UNAVAILABLE, "away"))
    assert (await refusal(speech({"voice": OWN}), books)).code is ErrorCode.UNAVAILABLE


async def test_while_the_database_is_away_known_voices_go_on_unless_they_are_to_be_refused() -> None:
    books = OwnershipInMemory(BOOKS)
    for voice in (OWN, "alloy"):
        await passed(speech({"voice": voice}), books)
    assert (await refusal(speech({"voice": THEIRS}), books)).code is ErrorCode.VOICE_NOT_OWNED
    books.away = True
    for voice in (OWN, "alloy"):
        await passed(speech({"voice": voice}), books)
        error = await refusal(speech({"voice": voice}), books, when_database_is_down="refuse")
        assert (error.code, error.should_retry) == (ErrorCode.UNAVAILABLE, True)
    assert (await refusal(speech({"voice": THEIRS}), books)).code is ErrorCode.VOICE_NOT_OWNED
    assert (await refusal(speech({"voice": "echo"}), books)).code is ErrorCode.UNAVAILABLE


async def test_without_an_identity_it_crashes_rather_than_lets_pass() -> None:
    flow = speech({"voice": OWN})
    flow.identity = None
    plugin = VoiceOwnership(VoiceOwnershipConfig(), make_services())
    with pytest.raises(RuntimeError):
        await plugin.handle(flow, Rest())


def test_it_reads_the_whole_body_within_its_bound_and_says_what_it_does() -> None:
    config = VoiceOwnershipConfig(max_body_bytes=10, deny_unlisted_prefix=True)
    assert getattr(VoiceOwnership.body_use(config), "max_bytes", None) == 10
    assert "kyma_" in VoiceOwnership.explain(config)["refuses as well"]
    assert "refuses as well" not in VoiceOwnership.explain(VoiceOwnershipConfig())
    told = {
        VoiceOwnership.explain(VoiceOwnershipConfig(when_database_is_down=choice))["without a database"]
        for choice in ("serve_known", "refuse")
    }
    assert told == {"voices seen before go on", "refuses every request"}
