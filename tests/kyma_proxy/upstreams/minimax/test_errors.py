"""The table of the provider's codes, row by row as its documentation and its traffic have them."""

from __future__ import annotations

import pytest

from kyma_proxy.upstreams.minimax.errors import (
    CODES,
    Fault,
    meaning_of,
    meaning_of_status,
    names_voice_id,
    refuses_voice,
    says_file_is_absent,
)

BY_FAULT = {
    Fault.CAPACITY: {1002, 1039, 1041, 2045},
    Fault.OPERATOR: {1004, 1008, 2038, 2049, 2056, 2061},
    Fault.UPSTREAM: {1000, 1001, 1013, 1024, 1033, 2039},
    Fault.CLIENT: {1026, 1027, 1042, 1043, 1044, 2013, 20132, 2037, 2042, 2048, 2054},
}


def test_every_listed_code_is_some_ones_fault() -> None:
    assert set(CODES) == set().union(*BY_FAULT.values())


@pytest.mark.parametrize(("fault", "code"), [(fault, code) for fault, codes in BY_FAULT.items() for code in codes])
def test_what_a_code_means(fault: Fault, code: int) -> None:
    meaning = meaning_of(code)
    assert meaning.fault is fault
    assert meaning.retryable is (code in {1002, 1039, 1041, 2045})
    assert meaning.outcome_known is (code not in BY_FAULT[Fault.UPSTREAM])


def test_an_unlisted_code_leaves_the_outcome_open() -> None:
    assert (meaning_of(9999).retryable, meaning_of(9999).outcome_known) == (False, False)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (302, Fault.OPERATOR),
        (400, Fault.CLIENT),
        (401, Fault.OPERATOR),
        (402, Fault.OPERATOR),
        (403, Fault.OPERATOR),
        (404, Fault.OPERATOR),
        (413, Fault.CLIENT),
        (429, Fault.CAPACITY),
        (500, Fault.UPSTREAM),
        (502, Fault.UPSTREAM),
        (504, Fault.UPSTREAM),
    ],
)
def test_what_a_status_means_without_a_code(status: int, fault: Fault) -> None:
    assert meaning_of_status(status).fault is fault


@pytest.mark.parametrize(
    ("message", "about"),
    [
        ("invalid params, voice id wrong", True),
        ("invalid params, voice_id first character", True),
        ("Invalid Voice ID", True),
        ("invalid params: voice_setting emotion", False),
        ("", False),
    ],
)
def test_whether_words_are_about_the_voice_id(message: str, about: bool) -> None:
    assert names_voice_id(message) is about


@pytest.mark.parametrize(
    ("message", "refuses"),
    [
        ("voice not exist", True),
        ("VoiceId wrong", True),
        ("voice not found for model x", True),
        ("VOICE_ID first character", True),
        ("method t2a-v2 not have model: x", False),
        ("voice_setting emotion wrong", False),
    ],
)
def test_words_that_refuse_a_voice(message: str, refuses: bool) -> None:
    assert refuses_voice(message) is refuses


def test_only_words_about_the_id_say_that_there_is_nothing_to_delete() -> None:
    assert not names_voice_id("this voice can not be deleted")
    assert names_voice_id("VoiceId wrong")


@pytest.mark.parametrize(
    ("message", "absent"),
    [
        ("invalid params, file not found", True),
        ("invalid params, file_id not exist", True),
        ("invalid params, file_id does not exist", True),
        ("Invalid File ID", True),
        ("the file doesn't exist", True),
        ("no such file", True),
        ("invalid params, purpose", False),
        ("invalid params, invalid file ext for voice clone", False),
        ("file size exceeds 20MB", False),
        ("/v1/files/delete: 2013 invalid params", False),
        ("voice_id does not exist", False),
        ("", False),
    ],
)
def test_words_that_say_that_there_is_no_such_file(message: str, absent: bool) -> None:
    assert says_file_is_absent(message) is absent
