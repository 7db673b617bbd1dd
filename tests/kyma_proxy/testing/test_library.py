"""The library in memory keeps to the rules of the real one."""

from __future__ import annotations

import pytest

from kyma_proxy.testing.library import KeepAliveInMemory, LibraryInMemory, UsesInMemory, make_voice
from kyma_proxy.voices.keepalive import KeepAliveTerms
from kyma_proxy.voices.library import UnknownCursorError


async def test_pages_names_and_deletions() -> None:
    library = LibraryInMemory([make_voice(str(number), minutes=number) for number in range(3)] + [make_voice("x", "b")])
    page = await library.page("acct_1", 2)
    assert ([voice.voice_id for voice in page.voices], page.has_more) == (["2", "1"], True)
    assert [voice.voice_id for voice in (await library.page("acct_1", 2, "1")).voices] == ["0"]
    with pytest.raises(UnknownCursorError):
        await library.page("acct_1", 2, "x")
    renamed = await library.rename("acct_1", "0", "Ada")
    assert renamed is not None
    assert renamed.name == "Ada"
    assert await library.rename("acct_1", "x", "Ada") is None
    assert [await library.delete("acct_1", voice_id) for voice_id in ("0", "0", "x")] == [True, False, False]
    found = await library.find("0")
    assert found is not None
    assert not found.is_there_for("acct_1")


async def test_what_is_told_of_voices_is_kept() -> None:
    uses, keep_alive = UsesInMemory(), KeepAliveInMemory()
    uses.spoke(["a"])
    uses.lost("b")
    await keep_alive.follow("minimax", KeepAliveTerms(1.0, 1))
    assert (uses.used, uses.gone, keep_alive.following) == (["a"], ["b"], [("minimax", KeepAliveTerms(1.0, 1))])
