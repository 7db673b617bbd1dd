from __future__ import annotations

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_clone.audio.wav_codec import WaveFormat, count_samples


def samples(codec: int, byte_count: int, *, channels: int = 1, block: int = 0, bits: int = 0) -> int:
    return count_samples(WaveFormat(codec, channels, 8000, block, bits), byte_count, None)[0]


@pytest.mark.parametrize(
    ("codec", "bits", "channels", "frame_bytes"),
    [(1, 8, 1, 1), (1, 12, 1, 2), (1, 16, 2, 4), (1, 24, 6, 18), (3, 64, 1, 8), (6, 8, 2, 2), (7, 0, 1, 1)],
)
def test_sampled_codecs_count_whole_frames(codec: int, bits: int, channels: int, frame_bytes: int) -> None:
    for block in (0, frame_bytes):
        assert samples(codec, 1_000 * frame_bytes, channels=channels, block=block, bits=bits) == 1_000
        assert samples(codec, 1_000 * frame_bytes - 1, channels=channels, block=block, bits=bits) == (
            1_000 if frame_bytes == 1 else 999
        ) - (frame_bytes == 1)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_g726_packs_samples_of_few_bits(bits: int) -> None:
    assert samples(0x45, 1_000 * bits, block=1, bits=bits) == 8_000
    assert samples(0x64, 1_000 * bits, block=1, bits=bits) == 8_000


def test_yamaha_adpcm_has_two_samples_a_byte_and_no_header() -> None:
    assert samples(0x20, 1_000, block=1, bits=4) == 2_000
    assert samples(0x20, 1_000, channels=2, block=1, bits=4) == 1_000


@pytest.mark.parametrize(
    ("codec", "block", "in_block"), [(0x31, 65, 320), (0x22, 32, 240), (0x42, 24, 240), (0x42, 20, 240)]
)
def test_codecs_of_fixed_blocks_decode_whole_blocks_only(codec: int, block: int, in_block: int) -> None:
    assert samples(codec, 50 * block, block=block) == 50 * in_block
    assert samples(codec, 51 * block - 1, block=block) == 50 * in_block


@pytest.mark.parametrize(
    ("codec", "channels", "block", "whole"),
    [(0x11, 1, 256, 505), (0x11, 2, 512, 505), (2, 1, 256, 500), (2, 2, 512, 500)],
)
def test_a_block_of_adpcm_begins_with_samples_in_its_header(codec: int, channels: int, block: int, whole: int) -> None:
    assert samples(codec, 16 * block, channels=channels, block=block, bits=4) == 16 * whole
    # A last block that is shorter still holds what is in it; one shorter than its header holds nothing.
    assert samples(codec, 16 * block + 40, channels=channels, block=block, bits=4) > 16 * whole
    assert samples(codec, 16 * block + 3, channels=channels, block=block, bits=4) == 16 * whole


@pytest.mark.parametrize(
    ("declared", "counted", "rule"),
    [
        (505 * 16, 505 * 16, "blocks counted, `fact` agrees"),
        (505 * 15 + 1, 505 * 15 + 1, "blocks counted, `fact` agrees"),
        (505 * 15, 505 * 16, "blocks counted"),
        (505 * 16 + 1, 505 * 16, "blocks counted"),
        (0, 505 * 16, "blocks counted"),
        (0xFFFFFFFF, 505 * 16, "blocks counted"),
        (None, 505 * 16, "blocks counted"),
    ],
)
def test_fact_is_believed_only_within_the_last_block(declared: int | None, counted: int, rule: str) -> None:
    assert count_samples(WaveFormat(0x11, 1, 8000, 256, 4), 256 * 16, declared) == (counted, rule)


@pytest.mark.parametrize(
    "form",
    [
        WaveFormat(1, 1, 8000, 3, 16),
        WaveFormat(1, 1, 8000, 0, 0),
        WaveFormat(1, 1, 8000, 9, 72),
        WaveFormat(0x45, 2, 8000, 1, 4),
        WaveFormat(0x45, 1, 8000, 1, 6),
        WaveFormat(0x11, 1, 8000, 4, 4),
        WaveFormat(0x11, 1, 8000, 256, 3),
        WaveFormat(2, 2, 8000, 14, 4),
        WaveFormat(0x31, 2, 8000, 65, 0),
        WaveFormat(0x161, 1, 8000, 100, 0),
        WaveFormat(0, 1, 8000, 1, 8),
    ],
)
def test_what_contradicts_itself_or_is_not_known_is_unreadable(form: WaveFormat) -> None:
    with pytest.raises(GatewayError) as caught:
        count_samples(form, 10_000, None)
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE
