import re

import pytest

from kyma_proxy.simulators.origin import Behaviour
from kyma_proxy.testing.audio import silent_wav


async def test_verbose_json_is_what_comes_unasked(caller) -> None:
    said = await caller.upload("transcriptions", silent_wav(61), {"language": "de"})

    assert (said.status, said.headers["Content-Type"]) == (200, "application/json")
    assert (said.json["duration"], said.json["language"], said.json["model"]) == (61, "de", "whisper-v3-turbo")
    assert said.json["segments"][-1]["end"] == 61
    assert said.json["billing"] == {"billable_minutes": 2, "cost_usd": 0.0018, "balance_usd": 99.9982}


async def test_json_of_a_url(caller) -> None:
    said = await caller.post(
        "transcriptions", audio_url="https://files.example/a.mp3", model="transcribe-quality", response_format="json"
    )

    assert set(said.json) == {"text", "model", "billing"}
    assert said.json["billing"]["cost_usd"] == 0.0081


@pytest.mark.parametrize(
    ("wanted", "content_type", "pattern"),
    [
        ("text", "text/plain; charset=utf-8", r"Welcome to Kyma\. .+\n"),
        ("srt", "application/x-subrip; charset=utf-8", r"1\n00:00:00,000 --> 00:00:06,000\nW.+\n\n2\n.+\n.+\n"),
        ("vtt", "text/vtt; charset=utf-8", r"WEBVTT\n\n00:00:00\.000 --> 00:00:06\.000\nW.+\n\n.+\n.+\n"),
    ],
)
async def test_plain_forms_bill_in_headers(caller, wanted, content_type, pattern) -> None:
    said = await caller.upload("transcriptions", silent_wav(12), {"response_format": wanted})

    assert (said.status, said.headers["Content-Type"]) == (200, content_type)
    assert re.fullmatch(pattern, said.body.decode())
    names = ("Model", "Duration-Sec", "Billable-Minutes", "Cost-USD", "Balance-USD")
    assert [said.headers[f"X-Kyma-{name}"] for name in names] == ["whisper-v3-turbo", "12.0", "1", "0.0009", "99.9991"]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-9"},
        {"response_format": "xml"},
        {"temperature": "hot"},
        {"temperature": "2"},
    ],
)
async def test_transcriptions_that_are_refused(caller, origin, fields) -> None:
    assert (await caller.upload("transcriptions", silent_wav(1), fields)).error == (400, "invalid_request")
    assert origin.balance_micros("ky-caller") == 100_000_000


@pytest.mark.parametrize("fields", [{}, {"audio_url": "http://files.example/a"}, {"audio_url": 1}])
async def test_a_url_must_be_https(caller, fields) -> None:
    assert (await caller.post("transcriptions", **fields)).error == (400, "invalid_request")


async def test_an_empty_file_is_refused(caller) -> None:
    assert (await caller.upload("transcriptions", b"", {})).error == (400, "invalid_request")
    assert (await caller.upload("understand", b"", {"question": "?"})).error == (400, "invalid_request")


async def test_understanding_by_size_and_by_hint(caller) -> None:
    by_size = await caller.upload("understand", bytes(16_000 * 61), {"question": "Who speaks?"})
    by_hint = await caller.upload("understand", b"x", {"question": "Who speaks?", "duration_sec": "120.5"})

    assert by_size.json["model"] == "gemini-3-flash-audio"
    assert by_size.json["answer"]
    assert by_size.json["billing"] == {
        "duration_source": "size_estimate",
        "duration_sec": 61,
        "billable_minutes": 2,
        "cost_usd": 0.001296,
        "balance_usd": 99.998704,
    }
    assert (by_hint.json["billing"]["duration_source"], by_hint.json["billing"]["billable_minutes"]) == (
        "caller_hint",
        3,
    )


@pytest.mark.parametrize(
    "fields", [{}, {"question": " "}, {"question": "?", "model": "x"}, {"question": "?", "duration_sec": "-1"}]
)
async def test_questions_that_are_refused(caller, fields) -> None:
    assert (await caller.upload("understand", b"x", fields)).error == (400, "invalid_request")


async def test_too_little_money(caller, origin) -> None:
    origin.behaviour = Behaviour(starting_balance_usd="0.000647")

    assert (await caller.upload("understand", b"x", {"question": "?"})).error == (402, "billing_error")
