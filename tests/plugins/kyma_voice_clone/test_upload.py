from __future__ import annotations

import resource
from pathlib import Path

import pytest

from kyma_voice_clone.upload import Upload


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_holds_what_was_written_and_no_more_than_its_bound() -> None:
    with Upload(10) as upload:
        assert upload.append(b"abcdef")
        assert not upload.append(b"ghijk")
        assert upload.append(b"ghij")
        assert (upload.size, bytes(upload.view())) == (10, b"abcdefghij")
        assert upload.view().readonly


def test_repr_reports_its_state() -> None:
    upload = Upload(10)
    assert repr(upload) == "Upload(0 of at most 10 bytes)"
    upload.close()
    upload.close()
    assert repr(upload) == "Upload(0 of at most 10 bytes, closed)"
    with pytest.raises(ValueError, match="closed"):
        upload.view()


def test_close_leaves_a_view_that_is_still_held_readable() -> None:
    upload = Upload(10)
    upload.append(b"abc")
    view = upload.view()
    upload.close()
    assert bytes(view) == b"abc"
    view.release()
    upload.close()
    assert "closed" in repr(upload)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident size from Linux's /proc")
def test_costs_what_is_written_and_gives_it_back() -> None:
    megabyte = 1024 * 1024
    piece = bytes(64 * 1024)
    before = resident_bytes()
    with Upload(256 * megabyte) as upload:
        for _ in range(20 * 16):
            upload.append(piece)
        while_open = resident_bytes() - before
    after = resident_bytes() - before
    assert 19 * megabyte < while_open < 24 * megabyte
    assert after < 3 * megabyte
