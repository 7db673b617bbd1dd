"""An account's voices without a database, for testing a plugin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kyma_proxy.voices.keepalive import KeepAliveTerms
from kyma_proxy.voices.library import LibraryPage, LibraryVoice, UnknownCursorError

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def make_voice(voice_id: str, account_id: str = "acct_1", minutes: int = 0, **changes: object) -> LibraryVoice:
    """An active clone without a name, made so many minutes after the first."""
    voice = LibraryVoice(
        voice_id=voice_id,
        account_id=account_id,
        name=None,
        kind="clone",
        status="active",
        created_at=_BEGINNING + timedelta(minutes=minutes),
        last_used_at=None,
        kept_alive_at=None,
        expires_at=None,
        is_lost=False,
        is_expired=False,
    )
    return replace(voice, **changes)  # type: ignore[arg-type]


class LibraryInMemory:
    """Plays the voice library; `deleted` tells what was."""

    def __init__(self, voices: Iterable[LibraryVoice] = ()) -> None:
        self.voices = {voice.voice_id: voice for voice in voices}
        self.deleted: list[str] = []

    async def page(self, account_id: str, limit: int, after: str | None = None) -> LibraryPage:
        """See VoiceLibrary."""
        own = [voice for voice in self.voices.values() if voice.account_id == account_id]
        if after is not None:
            cursor = next((voice for voice in own if voice.voice_id == after), None)
            if cursor is None:
                raise UnknownCursorError(after)
            own = [voice for voice in own if voice.created_at < cursor.created_at]
        there = [voice for voice in own if voice.is_there_for(account_id)]
        there.sort(key=lambda voice: voice.created_at, reverse=True)
        return LibraryPage(there[:limit], len(there) > limit)

    async def find(self, voice_id: str) -> LibraryVoice | None:
        """See VoiceLibrary."""
        return self.voices.get(voice_id)

    async def rename(self, account_id: str, voice_id: str, name: str | None) -> LibraryVoice | None:
        """See VoiceLibrary."""
        voice = self.voices.get(voice_id)
        if voice is None or not voice.is_there_for(account_id):
            return None
        self.voices[voice_id] = replace(voice, name=name)
        return self.voices[voice_id]

    async def delete(self, account_id: str, voice_id: str) -> bool:
        """See VoiceLibrary."""
        voice = self.voices.get(voice_id)
        if voice is None or voice.account_id != account_id or voice.status != "active":
            return False
        self.voices[voice_id] = replace(voice, status="revoked")
        self.deleted.append(voice_id)
        return True


class UsesInMemory:
    """Keeps what it is told of voices."""

    def __init__(self) -> None:
        self.used: list[str] = []
        self.gone: list[str] = []

    def spoke(self, voice_ids: Iterable[str]) -> None:
        """See VoiceUses."""
        self.used.extend(voice_ids)

    def lost(self, voice_id: str) -> None:
        """See VoiceUses."""
        self.gone.append(voice_id)


class KeepAliveInMemory:
    """Keeps what it is told to keep alive."""

    def __init__(self) -> None:
        self.following: list[tuple[str, KeepAliveTerms]] = []

    async def follow(self, upstream: str, terms: KeepAliveTerms) -> None:
        """See KeepAlive."""
        self.following.append((upstream, terms))
