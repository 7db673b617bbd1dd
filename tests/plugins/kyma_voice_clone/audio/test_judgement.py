from __future__ import annotations

from fractions import Fraction

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_clone.audio.judgement import Judgement, check_duration, unreadable, unsupported


def judged(duration: Fraction) -> Judgement:
    return Judgement("wav", duration, "data chunk")


@pytest.mark.parametrize("duration", [Fraction(10), Fraction(300), Fraction(12345, 1000)])
def test_the_limits_themselves_are_allowed(duration: Fraction) -> None:
    check_duration(judged(duration), 10, 300)


@pytest.mark.parametrize(
    ("duration", "code", "says"),
    [
        (Fraction(0), ErrorCode.REFERENCE_TOO_SHORT, "is 0.000 s long; send at least 10 s"),
        (Fraction(79_999, 8_000), ErrorCode.REFERENCE_TOO_SHORT, "is 9.999875 s long"),
        (Fraction(2_400_001, 8_000), ErrorCode.REFERENCE_TOO_LONG, "is 300.000125 s long; send at most 300 s"),
    ],
)
def test_one_sample_beyond_a_limit_is_refused(duration: Fraction, code: ErrorCode, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        check_duration(judged(duration), 10, 300)
    assert caught.value.code is code
    assert says in caught.value.message


def test_limits_given_as_decimals_mean_those_decimals() -> None:
    check_duration(judged(Fraction(101, 10)), 10.1, 10.1)


def test_a_judgement_speaks_of_itself() -> None:
    judgement = judged(Fraction(25, 2))
    assert (judgement.seconds, judgement.extension, judgement.header_seconds) == (12.5, "wav", None)


def test_refusals_say_what_to_send() -> None:
    assert unsupported("FLAC").code is ErrorCode.UNSUPPORTED_FORMAT
    assert unsupported("FLAC").message == "`file` is FLAC; send MP3, WAV or M4A."
    assert unreadable("it is cut").code is ErrorCode.AUDIO_UNREADABLE
    assert "it is cut. Export it again" in unreadable("it is cut").message
