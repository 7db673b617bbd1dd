from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.pipeline.paths import canonical_path, is_disguise

CLONE = "/v1/audio/voice-clone"
SPEECH = "/v1/audio/speech"
GUARDED = frozenset({CLONE, SPEECH})


def verdict(raw_path: str) -> str:
    """What becomes of a request: guarded, refused, or (the hole that must not exist) neither."""
    try:
        if canonical_path(raw_path) in GUARDED:
            return "guarded"
        return "refused" if is_disguise(raw_path, GUARDED) else "forwarded"
    except GatewayError as error:
        return "refused" if error.code is ErrorCode.INVALID_REQUEST else repr(error)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (CLONE, CLONE),
        ("/", "/"),
        ("//", "/"),
        ("/v1//audio/voice-clone/", CLONE),
        ("/v1/audio/voice%2Dclone", CLONE),
        ("/v1/audio/voice%2dclone;a=b;c", CLONE),
        ("/v1;x/audio/;y/voice-clone", CLONE),
        ("/%76%31/audio/voice-clone", CLONE),
        ("/v1/audio/voices/a%2fb", "/v1/audio/voices/a%2Fb"),
        ("/v1/audio/voices/caf%c3%a9", "/v1/audio/voices/caf%C3%A9"),
        ("/v1/audio/voices/a%5cb", "/v1/audio/voices/a%5Cb"),
        ("/v1/audio/voices/a%20b", "/v1/audio/voices/a%20b"),
        ("/v1/audio/.hidden", "/v1/audio/.hidden"),
        ("/v1/audio/...", "/v1/audio/..."),
        ("/v1/audio/V", "/v1/audio/V"),
        ("/v1/audio/a%2541", "/v1/audio/a%2541"),
    ],
)
def test_the_canonical_form(raw: str, canonical: str) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "v1",
        "/v1/./audio",
        "/v1/audio/..",
        "/v1/audio/%2e%2E/x",
        "/v1/audio/.%2e/x",
        "/v1/audio/..;x/y",
        "/v1/audio/x%2F..%2Fvoice-clone",
        "/v1/audio/x/..%5Cy",
        "/v1\\audio",
        "/v1/a%00b",
        "/v1/a%1fb",
        "/v1/a%7Fb",
        "/v1/a\x01b",
        "/v1/a b",
        "/v1/caf\u00e9",
        "/v1/caf\udce9",
        "/v1/a#b",
        "/v1/a?b",
        "/v1/%",
        "/v1/%4",
        "/v1/%zz",
        "/v1/%%34%31",
    ],
)
def test_what_is_never_normalised(raw: str) -> None:
    with pytest.raises(GatewayError) as refusal:
        canonical_path(raw)
    assert refusal.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    "raw",
    [
        "/V1/audio/voice-clone",
        "/v1/audio/Voice-Clone/",
        "/v1/audio%2Fvoice-clone",
        "/v1/audio%5Cvoice-clone",
        "/v1/audio/voice%252Dclone",
        "/v1/audio/%2576oice-clone",
        "/v1/audio/voice-clone%2F",
        "/v1/audio/voice-clone%3Bx",
        "/v1/audio/voice-clone%3Fx",
        "/v1/audio/voice-clone%23x",
        "/v1/audio/voice-clone%20",
        "/v1/audio/voice-clone%2500",
        "/v1/audio/x/%252e%252e/voice-clone",
        "/%2Fv1/audio/voice-clone",
        "/v1/audio/%25252576oice-clone",
    ],
)
def test_a_disguise_is_seen_through(raw: str) -> None:
    assert is_disguise(raw, GUARDED)


@pytest.mark.parametrize(
    "raw",
    [
        CLONE,
        CLONE + "/",
        "/v1/audio/voice%2Dclone",
        "/v1/audio/voices",
        "/v1/audio/voices/a%2Fb",
        "/v1/audio/voice-clones",
    ],
)
def test_an_honest_path_is_no_disguise(raw: str) -> None:
    assert not is_disguise(raw, GUARDED)


@given(st.text(alphabet="/.%;\\#?aA02eEfF5cC3bB \x00\u00e9", max_size=30).map(lambda text: "/" + text))
def test_canonical_is_idempotent_or_refused(raw: str) -> None:
    try:
        once = canonical_path(raw)
    except GatewayError:
        return
    assert canonical_path(once) == once


@given(st.text(max_size=40))
def test_nothing_but_gateway_errors_is_raised(raw: str) -> None:
    assert verdict(raw) in {"guarded", "refused", "forwarded"}


def _percent(character: str, rng: random.Random) -> str:
    escape = f"{ord(character):02x}"
    return "%" + "".join(rng.choice((digit, digit.upper())) for digit in escape)


TRICKS: list[Callable[[str, random.Random], str]] = [
    lambda c, rng: _percent(c, rng),
    lambda c, rng: "%25" + _percent(c, rng)[1:],
    lambda c, rng: "%2525" + _percent(c, rng)[1:],
    lambda c, rng: c.swapcase(),
    lambda c, rng: rng.choice(("//", "%2F", "%2f", "%5C", "%5c", "\\", "%252F", "%255c")) if c == "/" else c,
    lambda c, rng: rng.choice(("/./", "/%2e/", "/x/../", "/x/%2e%2E/", "/x%2F..%2F", "/x/..;a/")) if c == "/" else c,
    lambda c, rng: rng.choice((";x/", ";a=b/", "/;x/", "%3bx/")) if c == "/" else c,
]
TAILS = ["", "/", "//", ";x", "/;x", "%2F", "%5c", "%3Bx", "%252f", "/.", "/%2e", "%00", "%2500", "%3f", "%23"]


@given(st.sampled_from(sorted(GUARDED)), st.integers(0, 2**32), st.floats(0, 0.5), st.sampled_from(TAILS))
def test_no_spelling_of_a_guarded_path_slips_past(path: str, seed: int, share: float, tail: str) -> None:
    rng = random.Random(seed)
    spelled = "".join(rng.choice(TRICKS)(c, rng) if rng.random() < share else c for c in path[1:])
    assert verdict("/" + spelled + tail) in {"guarded", "refused"}
