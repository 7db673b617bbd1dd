"""What the simulated account holds: files, voices, burned ids, the history of calls, and a clock that can be moved."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from kyma_proxy.clock import monotonic_seconds, utc_now
from kyma_proxy.simulators.faults import FaultBook
from kyma_proxy.simulators.minimax.faults import Behaviour, Fault
from kyma_proxy.simulators.minimax.replies import RefusalError

FIRST_FILE_ID = 318207745120993412
UNUSED_VOICE_SECONDS = 168 * 3600
RATE_WINDOW_SECONDS = 60
CALLS_MAX = 1000
FILES_MAX = 1000
KEPT_BYTES_MAX = 64 * 1024 * 1024
VOICE_IDS_MAX = 100_000
SYSTEM_VOICES = {
    "English_Graceful_Lady": "Graceful Lady",
    "English_magnetic_voiced_man": "Magnetic-voiced Man",
    "English_expressive_narrator": "Expressive Narrator",
    "Chinese (Mandarin)_Lyrical_Voice": "Lyrical Voice",
    "Japanese_Calm（Radio） ": "Calm Radio",
}
"""Ids are matched byte by byte: spaces, brackets of any width and a space at the end belong to them."""


@dataclass(slots=True)
class Progress:
    """What became of a reply with speech; of a stream it goes on changing while that goes out.

    `events` counts those handed to the connection. `audio_bytes` and `audio_sha256` are of the audio that was spoken:
    of a stream, of the pieces sent so far, joined, without a closing event's aggregate. `complete` is set once the last
    byte of a stream was handed over. `client_left_at`, by `monotonic_seconds`, is when it was seen that the caller had
    hung up.
    """

    events: int = 0
    audio_bytes: int = 0
    audio_sha256: str = ""
    complete: bool = False
    client_left_at: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it arrived, also one that was refused.

    `json` is None unless the body was a JSON object; `fields`, `filename` and `upload` are of a multipart form.
    `upload` is empty when the file was over the limit; `upload_bytes` counts what came. `arrived_at` is by
    `monotonic_seconds`.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    json: Mapping[str, Any] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    filename: str | None = None
    upload: bytes = b""
    upload_bytes: int = 0
    arrived_at: float = field(default_factory=monotonic_seconds)
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded file; `created_at` is in epoch seconds."""

    file_id: int
    filename: str
    purpose: str
    data: bytes = field(repr=False)
    created_at: int

    @property
    def extension(self) -> str:
        """What stands behind the last dot of the name, in lower case: all the provider goes by."""
        return PurePosixPath(self.filename).suffix.lower().removeprefix(".")


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of the account. It is `active` from its first real synthesis on; until then it is not listed."""

    voice_id: str
    voice_type: str
    created_at: int
    active: bool = False

    @property
    def created_on(self) -> str:
        """The UTC date it was made on, as `YYYY-MM-DD`."""
        return datetime.fromtimestamp(self.created_at, UTC).date().isoformat()


class State:
    """The account; everything in it is bounded."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.initial_behaviour = behaviour
        self.behaviour = behaviour
        self.faults: FaultBook[Fault] = FaultBook()
        self.calls: deque[Call] = deque(maxlen=CALLS_MAX)
        self.files: dict[int, StoredFile] = {}
        self.voices: dict[str, Voice] = {}
        self.burned_voice_ids: set[str] = set()
        self.cloning_voice_ids: set[str] = set()
        self._recent_calls: dict[str, deque[float]] = {}
        self._files_made = 0
        self._clock_offset_seconds = 0.0

    def __repr__(self) -> str:
        return f"State(files={len(self.files)}, voices={len(self.voices)}, calls={len(self.calls)})"

    def reset(self) -> None:
        """Forget everything, moved clock and clones under way included; file ids are not used twice."""
        self.behaviour = self.initial_behaviour
        self.faults.clear()
        for kept in (self.calls, self.files, self.voices, self.burned_voice_ids, self.cloning_voice_ids):
            kept.clear()
        self._recent_calls.clear()
        self._clock_offset_seconds = 0.0

    def now_seconds(self) -> float:
        """Epoch seconds by the account's clock."""
        return utc_now().timestamp() + self._clock_offset_seconds

    def advance(self, seconds: float) -> None:
        """Move the clock; voices unused for 168 h vanish, and their ids stay burned."""
        self._clock_offset_seconds += seconds
        self.drop_unused_voices()

    def drop_unused_voices(self) -> None:
        """Delete the voices that were not used within 168 h of being made."""
        made_before = self.now_seconds() - UNUSED_VOICE_SECONDS
        for voice in [v for v in self.voices.values() if not v.active and v.created_at < made_before]:
            self.remove_voice(voice.voice_id)

    def record(self, call: Call) -> None:
        """Add to the history; the oldest calls go first when there are too many or their uploads are too large."""
        self.calls.append(call)
        while sum(len(kept.upload) for kept in self.calls) > KEPT_BYTES_MAX:
            self.calls.popleft()

    def count_call(self, path: str) -> None:
        """Raises RefusalError 1002 if the path had its calls of the last 60 s; this one counts either way."""
        allowed = self.behaviour.calls_per_minute.get(path)
        if allowed is None:
            return
        recent = self._recent_calls.setdefault(path, deque())
        now = self.now_seconds()
        while recent and (recent[0] <= now - RATE_WINDOW_SECONDS or len(recent) > allowed):
            recent.popleft()
        recent.append(now)
        if len(recent) > allowed:
            raise RefusalError(1002)

    def add_file(self, call: Call) -> StoredFile:
        """Keep the upload of a call; the oldest files go first when there are too many or they are too large."""
        self._files_made += 1
        file_id = FIRST_FILE_ID + 4099 * self._files_made
        stored = StoredFile(
            file_id, call.filename or "", call.fields["purpose"], call.upload, created_at=int(self.now_seconds())
        )
        self.files[file_id] = stored
        while len(self.files) > FILES_MAX or sum(len(f.data) for f in self.files.values()) > KEPT_BYTES_MAX:
            del self.files[next(iter(self.files))]
        return stored

    def reserve_voice_id(self, voice_id: str) -> None:
        """Claim an id for a clone that starts. Raises RefusalError 2039 if it is or was taken, 2056 without a slot."""
        taken = (self.voices, self.burned_voice_ids, self.cloning_voice_ids)
        if voice_id in SYSTEM_VOICES or any(voice_id in ids for ids in taken):
            raise RefusalError(2039)
        if sum(map(len, taken)) >= VOICE_IDS_MAX:
            raise RefusalError(2056)
        self.cloning_voice_ids.add(voice_id)

    def add_voice(self, voice_id: str, voice_type: str) -> None:
        """End a clone: its reserved id becomes a voice that is not active. Does nothing if a reset came between."""
        if voice_id in self.cloning_voice_ids:
            self.cloning_voice_ids.discard(voice_id)
            self.voices[voice_id] = Voice(voice_id, voice_type, int(self.now_seconds()))

    def find_voice(self, voice_id: str) -> Voice | None:
        """The voice of this account with exactly this id, None for a system voice.

        Raises RefusalError 2042 if the account may not use the id, 2054 if nobody has it.
        """
        if voice_id in self.behaviour.inaccessible_voice_ids:
            raise RefusalError(2042)
        if voice_id in SYSTEM_VOICES:
            return None
        if voice_id not in self.voices:
            raise RefusalError(2054)
        return self.voices[voice_id]

    def activate_voice(self, voice_id: str) -> None:
        """What the first real synthesis does: the voice is listed and no longer vanishes. Raises KeyError."""
        self.voices[voice_id] = replace(self.voices[voice_id], active=True)

    def remove_voice(self, voice_id: str) -> None:
        """Delete a voice and burn its id. Raises KeyError."""
        del self.voices[voice_id]
        self.burned_voice_ids.add(voice_id)
