"""Every text that could be taken for a voice id."""

import json
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_ownership import candidates as candidates_module
from kyma_voice_ownership.candidates import (
    CANDIDATES_MAX,
    NESTING_MAX,
    texts_of_form,
    texts_of_target,
    voice_candidates,
)

OURS = "kyma_0123456789abcdef"
THEIRS = "Narrator (deep)"

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def candidates(document: dict[str, Any], *texts: str) -> frozenset[str]:
    return voice_candidates(document, iter(texts), "kyma_")


@st.composite
def hidden(draw: st.DrawFn, voice_id: str) -> dict[str, Any]:
    """A document with an id somewhere: in lists, objects, documents inside strings, as a value or as a key."""
    value: Any = voice_id
    strings = 0
    for _ in range(draw(st.integers(0, 8))):
        shape = draw(st.sampled_from(["list", "object", "key", "string"]))
        if shape == "list":
            value = [*draw(st.lists(st.integers(), max_size=2)), value]
        elif shape == "object":
            value = {draw(keys): value}
        elif shape == "key" and isinstance(value, str):
            value = {value: draw(st.booleans())}
        elif shape == "string" and not isinstance(value, str) and strings < NESTING_MAX:
            strings += 1
            value = json.dumps(value, ensure_ascii=draw(st.booleans()))
    # Anywhere but in the text that is spoken.
    return {draw(keys.filter(lambda key: key not in ("input", "text"))): value}


@given(st.data(), st.sampled_from([OURS, THEIRS, "12345678", "x"]))
def test_an_id_is_found_wherever_it_hides(data: st.DataObject, voice_id: str) -> None:
    assert voice_id in candidates(data.draw(hidden(voice_id)))


@pytest.mark.parametrize("name", ["input", "text"])
def test_what_is_spoken_is_no_id(name: str) -> None:
    assert candidates({name: OURS}) == {name}
    assert OURS in candidates({name: [OURS]})
    assert OURS in candidates({name: {"voice_id": OURS}})
    assert OURS in candidates({"x": {name: OURS}})
    assert OURS in candidates({name.upper(): OURS})


@pytest.mark.parametrize(
    "spelling",
    [
        f" {THEIRS}\n",
        f"\0{THEIRS}\u200b",
        f"\ufeff{THEIRS}\u3000",
        quote(THEIRS),
        quote(quote(THEIRS)),
        json.dumps(THEIRS),
        json.dumps({"voice": THEIRS}),
        json.dumps(json.dumps({"voice": THEIRS})),
        f'{{"voice": "{THEIRS}", "voice": "alloy"}}',
        f'{{"voice": "{THEIRS}", "speed": NaN}}',
        f"{{'voice': '{THEIRS}',}}",
        f'  ["{THEIRS}"',
        f'{{"x": "", "voice": "{THEIRS}",}}',
        f'{{"x": "{"y" * 300}", "voice": "{THEIRS}",}}',
        f'{{"x": "it\'s", "voice": "{THEIRS}",}}',
        f'{{"voice": "\\u004e{THEIRS[1:]}",}}',
        f"{{'voice': '\\x4e{THEIRS[1:]}'}}",
        f"{{'voice': '\\U0000004e{THEIRS[1:]}'}}",
        f"{{voice: '\\u{{4e}}{THEIRS[1:]}'}}",
        f"{{'voice': '\\116{THEIRS[1:]}'}}",
        f"{{voice: {THEIRS}}}",
        f'{{"voice": "{THEIRS}\\n",}}',
        f'{{"x": "{{\\"voice\\": \\"{THEIRS}\\",}}",}}',
        f'/**/{{"voice": "{THEIRS}"}}',
        "\ufeff" + json.dumps({"x": "y" * 5000, "voice": THEIRS}),
        "\u200b " + json.dumps({"x": "y" * 5000, "voice": THEIRS}) + "\0",
        quote(json.dumps({"x": "y" * 5000, "voice": THEIRS})),
        quote(quote(json.dumps({"x": "y" * 5000, "voice": THEIRS}))),
        f"a=1&voice_id={THEIRS}",
        f"a=1&voice_id={quote(THEIRS)}",
        f"voice_id={THEIRS.replace(' ', '+')};a=1",
        quote(f"a=1&voice_id={THEIRS}"),
    ],
)
def test_what_a_forgiving_reader_makes_of_a_text_counts(spelling: str) -> None:
    assert THEIRS in candidates({"x": spelling})


@pytest.mark.parametrize(
    "spelling",
    [
        OURS.upper(),
        "\uff4b\uff59\uff4d\uff41_0123456789abcdef",
        "\u212ayma_0123456789abcdef",
        "kyma_01234567\u200b89abcdef",
        f"alloy,{OURS}",
        f"voices/{OURS}?x",
        " " * 1000 + OURS,
        f"&voice_id={OURS}&",
        "\u200b".join(OURS[:16]) + OURS[16:],
        f'{{"voice": "\\u006b{OURS[1:]}",}}',
        f"x: \\x6b{OURS[1:]}",
    ],
)
def test_a_disguise_of_an_id_of_ours_is_seen_through(spelling: str) -> None:
    assert OURS in candidates({"x": spelling})


def test_the_text_itself_is_always_a_candidate_as_it_stands() -> None:
    assert {" Wise Woman ", "Wise Woman"} <= candidates({"voice": " Wise Woman "})


def test_a_number_is_the_text_of_its_digits() -> None:
    for number in (12345678, 12345678.0, 1.2345678e7):
        assert "12345678" in candidates({"speaker": number})
        assert "12345678" in candidates({"x": json.dumps({"speaker": number})})


def test_what_is_no_number_has_no_digits() -> None:
    assert candidates({"x": [True, False, None, 0.5]}) == {"x"}
    assert candidates({"x": '{"y": [true, null, 1e999, NaN]}'}) == {"x", "y", '{"y": [true, null, 1e999, NaN]}'}


def test_escapes_outside_unicode_and_halves_of_characters_are_read_without_a_crash() -> None:
    assert "\U0001f600" in candidates({"x": r'{"voice": "\ud83d\ude00",}'})
    assert OURS in candidates({"x": rf'{{"x": "\ud83d", "y": "\u{{ffffff}}", "voice": "{OURS}",}}'})


def test_a_part_of_a_form_is_read_in_full_where_it_stands_alone() -> None:
    form = f"a=1&voice_id={THEIRS}"
    assert THEIRS in candidates({"x": [form, f"z={quote(form, safe='')}"]})


def test_only_what_could_be_an_id_of_ours_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[str] = []
    normalize = unicodedata.normalize

    def record(form: Any, text: str) -> str:
        folded.append(text)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", record)
    candidates_module._candidates_in.cache_clear()
    assert OURS in candidates({"x": ["kyma_" + "\ufdfa" * 80, OURS.upper(), "\ufdfa" * 80]})
    assert max(map(len, folded)) <= len(OURS)


def test_longer_texts_cannot_be_ids() -> None:
    assert candidates({"voice": "x" * 257}) == {"voice"}
    assert "x" * 256 in candidates({"voice": "x" * 256})


def test_the_number_of_candidates_is_bounded() -> None:
    many = [str(number) for number in range(CANDIDATES_MAX)]
    with pytest.raises(GatewayError) as caught:
        candidates({"voice": many})
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert len(candidates({"voice": many[1:]})) == CANDIDATES_MAX


def test_documents_inside_strings_are_bounded() -> None:
    value: Any = {"voice": OURS}
    for _ in range(NESTING_MAX + 1):
        value = [json.dumps(value)]
    with pytest.raises(GatewayError) as caught:
        candidates({"x": value})
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("nested", ["[" * 30_000 + "]" * 30_000, "[" + "1," * 60_000 + "1]"])
def test_a_document_inside_a_string_that_is_too_deep_or_too_large_is_refused(nested: str) -> None:
    with pytest.raises(GatewayError) as caught:
        candidates({"x": nested})
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    "query",
    [
        f"voice_id={quote(THEIRS)}",
        f"voice={THEIRS.replace(' ', '+')}",
        f"a=1;voice={quote(THEIRS)}",
        f"a&{quote(THEIRS)}",
        f"{quote(THEIRS)}=1",
        f"voice%5Bid%5D={quote(THEIRS)}",
        f"x={quote(json.dumps({'voice': THEIRS}))}",
        f"x={quote(quote(THEIRS))}",
    ],
)
def test_ids_in_the_query_are_found(query: str) -> None:
    assert THEIRS in candidates({}, *texts_of_target("/v1/audio/speech", query))


def test_ids_in_parameters_of_the_path_are_found() -> None:
    target = f"/v1/audio;voice={quote(THEIRS)}/speech;{OURS}"
    assert {THEIRS, OURS} <= candidates({}, *texts_of_target(target, None))


def test_a_form_is_read_both_ways() -> None:
    assert {"a+b", "a b", "c"} <= set(texts_of_form("x=a+b;c"))
