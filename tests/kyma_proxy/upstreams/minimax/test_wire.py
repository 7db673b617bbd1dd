"""Answers of every shape that was seen, and of shapes that nobody should send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kyma_proxy.upstreams.minimax.errors import Fault
from kyma_proxy.upstreams.minimax.wire import (
    audio_of,
    closes_stream,
    file_id_of,
    files_of,
    read_answer,
    read_event,
    usage_characters_of,
)

UPLOADED = (
    b'{"file":{"file_id":318207745120993412,"bytes":412800,"created_at":1763800000,"filename":"ref.wav",'
    b'"purpose":"voice_clone"},"base_resp":{"status_code":0,"status_msg":"success"}}'
)


def test_a_success_and_its_64_bit_file_id() -> None:
    answer = read_answer(200, UPLOADED)
    assert answer.meaning is None
    assert file_id_of(answer.fields) == 318207745120993412


def test_an_error_stands_under_http_200() -> None:
    answer = read_answer(200, b'{"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded(RPM)"}}')
    assert answer.meaning is not None
    assert (answer.code, answer.meaning.fault, answer.message) == (1002, Fault.CAPACITY, "rate limit exceeded(RPM)")


def test_null_fields_are_no_obstacle() -> None:
    answer = read_answer(200, b'{"data":null,"base_resp":{"status_code":2013,"status_msg":null}}')
    assert (answer.code, answer.message) == (2013, "")


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (404, b"404 page not found", Fault.OPERATOR),
        (502, b"<html><body>502 Bad Gateway</body></html>", Fault.UPSTREAM),
        (200, b"<html>", Fault.UPSTREAM),
        (200, b"", Fault.UPSTREAM),
        (200, b"[]", Fault.UPSTREAM),
        (200, b"{}", Fault.UPSTREAM),
        (200, b"null", Fault.UPSTREAM),
        (200, b'{"base_resp":null}', Fault.UPSTREAM),
        (200, b'{"base_resp":{"status_code":"0"}}', Fault.UPSTREAM),
        (200, b'{"base_resp":{"status_code":false}}', Fault.UPSTREAM),
        (200, b"\xff\xfe\x00", Fault.UPSTREAM),
        (200, b"[" * 100_000, Fault.UPSTREAM),
        (200, b'{"a":' + b"9" * 5000 + b"}", Fault.UPSTREAM),
        (500, b'{"base_resp":{"status_code":0,"status_msg":"success"}}', Fault.UPSTREAM),
    ],
)
def test_what_is_not_an_envelope_is_a_failure(status: int, body: bytes, fault: Fault) -> None:
    answer = read_answer(status, body)
    assert answer.meaning is not None
    assert (answer.code, answer.meaning.fault) == (None, fault)


@pytest.mark.parametrize(
    ("status", "http_code", "fault"),
    [
        (401, "401", Fault.OPERATOR),
        (429, "429", Fault.CAPACITY),
        (500, "500", Fault.UPSTREAM),
        (200, "429", Fault.CAPACITY),
        (200, "nonsense", Fault.UPSTREAM),
        (200, None, Fault.UPSTREAM),
    ],
)
def test_the_shape_of_the_other_surfaces(status: int, http_code: str | None, fault: Fault) -> None:
    error = {"type": "some_error", "message": "why", "http_code": http_code}
    answer = read_answer(status, json.dumps({"type": "error", "error": error, "request_id": "r"}).encode())
    assert answer.meaning is not None
    assert (answer.meaning.fault, answer.message) == (fault, "why")


def test_messages_are_cut_and_stay_on_one_line() -> None:
    body = json.dumps({"base_resp": {"status_code": 1000, "status_msg": "a\r\nb\x1b[31m" + "c" * 5000}}).encode()
    message = read_answer(200, body).message
    assert message.startswith("a  b [31mc")
    assert len(message) <= 300


@pytest.mark.parametrize(
    "file", [None, 7, {}, {"file_id": None}, {"file_id": "12"}, {"file_id": True}, {"file_id": 1.5}]
)
def test_a_file_id_that_is_none(file: object) -> None:
    assert file_id_of({"file": file}) is None


def test_an_unreadable_answer_is_cut_before_it_is_decoded() -> None:
    assert len(read_answer(200, b"x" * 5000).message) <= 320


@pytest.mark.parametrize("event", [b'{"data":{"audio":"00"}}', b'{"data":{"audio":"00"},"base_resp":null}'])
def test_a_good_event_may_come_without_its_envelope(event: bytes) -> None:
    assert read_event(event).meaning is None
    assert read_answer(200, event).meaning is not None


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (b'{"data":{"audio":"00"},"base_resp":{"status_code":1027}}', 1027),
        (b'{"type":"error","error":{"type":"x","message":"m","http_code":"500"}}', None),
        (b'{"base_resp":"0"}', None),
        (b"[DONE]", None),
        (b"null", None),
        (b"\xff", None),
        (b'{"data":{"audio":"00', None),
    ],
)
def test_an_event_that_is_a_failure(event: bytes, code: int | None) -> None:
    answer = read_event(event)
    assert answer.meaning is not None
    assert answer.code == code


@pytest.mark.parametrize(
    ("data", "audio"),
    [({"audio": "00ffAb"}, b"\x00\xff\xab"), ({"audio": ""}, b""), ({"audio": None}, b""), ({}, b""), (None, b"")],
)
def test_audio_is_decoded(data: Any, audio: bytes) -> None:
    assert audio_of({"data": data}) == audio
    assert audio_of({}) == b""


@pytest.mark.parametrize(
    "data",
    [
        *({"audio": it} for it in ("0", "00 ff", "0g", "00\n", "é0", "https://cdn/x.mp3", 7, ["00"], True)),
        "00",
        ["00"],
        7,
    ],
)
def test_what_is_not_whole_hex_is_not_guessed_at(data: Any) -> None:
    with pytest.raises(ValueError):
        audio_of({"data": data})


@pytest.mark.parametrize(
    ("fields", "closes"),
    [
        ({"data": {"status": 2}}, True),
        ({"data": None, "extra_info": {"audio_size": 1}}, True),
        ({"data": {"status": 1}, "extra_info": {"audio_size": 1}}, True),
        ({"data": {"status": 1}}, False),
        ({"data": {"status": 1}, "extra_info": None}, False),
        ({"data": None}, False),
        ({}, False),
    ],
)
def test_which_event_is_the_last(fields: dict[str, Any], closes: bool) -> None:
    assert closes_stream(fields) is closes


@pytest.mark.parametrize(
    ("extra", "characters"),
    [({"usage_characters": 27}, 27), ({"usage_characters": "27"}, None), ({}, None), (None, None)],
)
def test_what_the_provider_bills_for(extra: Any, characters: int | None) -> None:
    assert usage_characters_of({"extra_info": extra}) == characters


def test_a_listing_gives_exact_ids_and_names() -> None:
    body = (
        b'{"files":[{"file_id":9223372036854775807,"bytes":1,"filename":"a.mp3","purpose":"voice_clone"},'
        b'{"file_id":9223372036854775806,"filename":"\\u00e9.wav"}],"base_resp":{"status_code":0}}'
    )
    assert files_of(read_answer(200, body).fields) == [(2**63 - 1, "a.mp3"), (2**63 - 2, "é.wav")]


@pytest.mark.parametrize("fields", [{}, {"files": None}, {"files": []}])
def test_a_listing_may_be_empty_in_several_ways(fields: dict[str, Any]) -> None:
    assert files_of(fields) == []


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        "a.mp3",
        [1, "a.mp3"],
        {"file_id": True, "filename": "a.mp3"},
        {"file_id": 1.0, "filename": "a.mp3"},
        {"file_id": "1", "filename": "a.mp3"},
        {"file_id": 1, "filename": None},
        {"filename": "a.mp3"},
        {"file_id": 1},
    ],
)
def test_what_is_no_file_is_left_out_of_a_listing(entry: object) -> None:
    assert files_of({"files": [entry, {"file_id": 2, "filename": "b.mp3"}]}) == [(2, "b.mp3")]


@pytest.mark.parametrize("files", ["", "none", {}, {"file_id": 1, "filename": "a.mp3"}, 0, False])
def test_a_listing_that_is_no_list_is_not_taken_for_an_empty_one(files: object) -> None:
    with pytest.raises(ValueError, match="not a list"):
        files_of({"files": files})
