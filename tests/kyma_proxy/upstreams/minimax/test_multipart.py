"""The form of an upload, read back by another parser, and what it costs."""

from __future__ import annotations

import mmap
import re
from io import BytesIO

import pytest
from multipart import MultipartParser, parse_options_header

from kyma_proxy.upstreams.minimax.multipart import SLICE_BYTES, Upload
from kyma_proxy.voices.provider import Recording


async def collect(upload: Upload) -> bytes:
    return b"".join([bytes(chunk) async for chunk in upload])


@pytest.mark.parametrize("size", [0, 1, SLICE_BYTES - 1, SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES])
async def test_the_form_is_as_long_as_it_says_and_reads_back(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    upload = Upload(Recording(data, "mp3"), "kyma_0.mp3", "voice_clone")
    form = await collect(upload)
    assert len(form) == upload.length
    kind, options = parse_options_header(upload.content_type)
    assert kind == "multipart/form-data"
    purpose, file = MultipartParser(BytesIO(form), options["boundary"]).parts()
    assert (purpose.name, purpose.value) == ("purpose", "voice_clone")
    assert (file.name, file.filename, file.raw) == ("file", "kyma_0.mp3", data)
    file.close()


async def test_slices_are_views_of_the_recording() -> None:
    data = bytearray(2 * SLICE_BYTES)
    upload = Upload(Recording(data, "wav"), "kyma_0.wav", "voice_clone")
    views = [chunk async for chunk in upload if isinstance(chunk, memoryview)]
    assert [len(view) for view in views] == [SLICE_BYTES, SLICE_BYTES]
    data[0] = 7
    assert views[0][0] == 7


async def test_a_mapped_file_can_be_closed_afterwards() -> None:
    mapped = mmap.mmap(-1, 1000)
    upload = Upload(Recording(mapped, "m4a"), "kyma_0.m4a", "voice_clone")
    assert len(await collect(upload)) == upload.length
    del upload
    mapped.close()


def test_boundaries_differ() -> None:
    types = {Upload(Recording(b"", "mp3"), "a.mp3", "voice_clone").content_type for _ in range(2)}
    assert len(types) == 2
    assert all(re.fullmatch(r"multipart/form-data; boundary=kyma-[0-9a-f]{32}", one) for one in types)


@pytest.mark.parametrize("name", ['a".mp3', "a\r\n.mp3", "a\\.mp3", "é.mp3"])
def test_a_name_that_would_break_the_form_is_our_own_mistake(name: str) -> None:
    with pytest.raises(AssertionError):
        Upload(Recording(b"", "mp3"), name, "voice_clone")
