"""MiniMax's calls for voices and files. One method a call; every failure is a ProviderError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.exchange import OutgoingRequest
from kyma_proxy.upstreams.minimax.calls import Calls, read_whole, trace_id
from kyma_proxy.upstreams.minimax.errors import (
    INVALID_PARAMETERS,
    INVALID_SAMPLE,
    VOICE_ID_UNKNOWN,
    names_voice_id,
    says_file_is_absent,
)
from kyma_proxy.upstreams.minimax.multipart import Upload
from kyma_proxy.upstreams.minimax.wire import (
    MAX_ANSWER_BYTES,
    Answer,
    file_id_of,
    files_of,
    read_answer,
    usage_characters_of,
    usage_voices_of,
)
from kyma_proxy.voices.provider import ProviderError, Recording, Spoken, VoiceDesign, VoiceLostError
from kyma_proxy.voices.registry import VoiceOrigin

CLONE_PURPOSE = "voice_clone"
SHORT_CALL_SECONDS = 30.0
"""At most this long is waited for a call that only looks something up or removes it."""
VOICE_ID_CHARS_MAX = 256
MAX_PREVIEW_BYTES = 32 * 1024 * 1024
"""An answer with a designed voice says its preview, in hexadecimal; nobody asked for it."""
_VOICE_TYPES: Final[Mapping[VoiceOrigin, tuple[str, ...]]] = {
    "clone": ("voice_cloning",),
    "design": ("voice_generation",),
    "adopted": ("voice_cloning", "voice_generation"),
}
"""What a voice may be at the provider, which deletes only under the right word."""
MAX_LISTING_BYTES = 4 * 1024 * 1024
"""Some 20,000 files, read in a hundredth of a second or two."""
_FAILPOINTS: Final[Mapping[str, tuple[Failpoint, Failpoint]]] = {
    "/v1/files/upload": (Failpoint.UPLOAD_CALL, Failpoint.UPLOAD_ANSWERED),
    "/v1/voice_clone": (Failpoint.CLONE_CALL, Failpoint.CLONE_ANSWERED),
    "/v1/voice_design": (Failpoint.DESIGN_CALL, Failpoint.DESIGN_ANSWERED),
    "/v1/delete_voice": (Failpoint.DELETE_CALL, Failpoint.DELETE_ANSWERED),
}
"""What is passed before a call is sent, and once its answer was read."""

_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


class AnswerLostError(ProviderError):
    """A call was sent and its answer could not be read: it may have taken effect."""

    def __init__(self, message: str) -> None:
        super().__init__(message, outcome_known=False)


class MiniMaxClient:
    """The calls, on a transport that the caller starts and stops.

    Every method raises ProviderError: `code` is the provider's, `should_retry` is true for throttling and refused
    connections, `outcome_known` is false when the call may have taken effect, AnswerLostError when no answer says
    so. Nothing is sent twice. The key stands in no log line, exception or repr.
    """

    def __init__(self, calls: Calls, clone_timeout_seconds: float, *, failpoints: Failpoints = NO_FAILPOINTS) -> None:
        self._calls = calls
        self._failpoints = failpoints
        self._transport = calls.transport
        self._clone_timeout_seconds = clone_timeout_seconds
        self._short_call_seconds = min(SHORT_CALL_SECONDS, calls.transport.timeouts.first_byte_seconds)

    async def upload_file(self, recording: Recording, filename: str) -> int:
        """Upload a recording to clone from; the file's 64-bit id. The provider judges it by the name's extension."""
        upload = Upload(recording, filename, CLONE_PURPOSE)
        timeouts = self._transport.timeouts
        body = upload.body(timeouts.idle_seconds)
        path = "/v1/files/upload"
        request = self._calls.request(path, body, upload.content_type, upload.length, timeouts.first_byte_seconds)
        answer = await self._call(path, request)
        file_id = file_id_of(answer.fields)
        if file_id is None:
            raise ProviderError("files/upload: the answer has no file_id", outcome_known=False)
        return file_id

    async def voice_clone(self, file_id: int, voice_id: str) -> None:
        """Make the voice from the uploaded file; takes the provider seconds, sometimes a minute."""
        fields = {"file_id": file_id, "voice_id": voice_id}
        await self._post("/v1/voice_clone", fields, self._clone_timeout_seconds)

    async def voice_design(self, voice_id: str, design: VoiceDesign) -> str:
        """Make a voice from its description; returns the id that the provider gave it, which may be one of its own."""
        fields = {"prompt": design.prompt, "preview_text": design.preview_text, "voice_id": voice_id}
        answer = await self._call(
            "/v1/voice_design",
            self._calls.json_request("/v1/voice_design", fields, self._clone_timeout_seconds),
            MAX_PREVIEW_BYTES,
            said=(design.prompt, design.preview_text),
        )
        given = answer.fields.get("voice_id")
        if not isinstance(given, str) or not given.isprintable() or not 1 <= len(given) <= VOICE_ID_CHARS_MAX:
            raise ProviderError("voice_design: the answer has no voice_id", outcome_known=False)
        return given

    async def delete_voice(self, voice_id: str, kind: VoiceOrigin) -> None:
        """Delete a voice that was made in this way; one that is not there counts as deleted."""
        for voice_type in _VOICE_TYPES[kind]:
            fields = {"voice_type": voice_type, "voice_id": voice_id}
            try:
                await self._post("/v1/delete_voice", fields, self._short_call_seconds)
            except ProviderError as error:
                if not _says_voice_is_absent(error):
                    raise

    async def speak(self, model: str, voice_id: str, text: str) -> Spoken:
        """Speak a line with a voice and throw the audio away. Raises VoiceLostError where there is no such voice."""
        fields = {
            "model": model,
            "text": text,
            "stream": False,
            "output_format": "hex",
            "voice_setting": {"voice_id": voice_id},
            "audio_setting": {"format": "mp3", "sample_rate": 8000, "bitrate": 32000, "channel": 1},
        }
        seconds = self._transport.timeouts.first_byte_seconds
        request = self._calls.json_request("/v1/t2a_v2", fields, seconds)
        try:
            answer = await self._call("/v1/t2a_v2", request, MAX_PREVIEW_BYTES)
        except ProviderError as error:
            if error.code == VOICE_ID_UNKNOWN:
                raise VoiceLostError(error.message, code=error.code) from error
            raise
        return Spoken(usage_characters_of(answer.fields) or len(text), usage_voices_of(answer.fields))

    async def delete_file(self, file_id: int) -> None:
        """Delete an uploaded recording; one that is not there counts as deleted."""
        fields = {"file_id": file_id, "purpose": CLONE_PURPOSE}
        try:
            await self._post("/v1/files/delete", fields, self._short_call_seconds)
        except ProviderError as error:
            if not _says_file_is_absent(error):
                raise

    async def list_files(self) -> list[tuple[int, str]]:
        """Id and name of every recording of the account that was uploaded to clone from, whoever did it."""
        path = "/v1/files/list"
        request = self._calls.lookup(path, {"purpose": CLONE_PURPOSE}, self._short_call_seconds)
        answer = await self._call(path, request, MAX_LISTING_BYTES)
        try:
            return files_of(answer.fields)
        except ValueError as error:
            raise ProviderError(f"{path}: {error}") from error

    async def _post(self, path: str, fields: Mapping[str, object], first_byte_seconds: float) -> Answer:
        return await self._call(path, self._calls.json_request(path, fields, first_byte_seconds))

    async def _call(
        self,
        path: str,
        request: OutgoingRequest,
        answer_bytes_max: int = MAX_ANSWER_BYTES,
        *,
        said: Sequence[str] = (),
    ) -> Answer:
        """Make one call and return its success; `said` is what a client said in it. Raises ProviderError."""
        before, answered = _FAILPOINTS.get(path, (None, None))
        started = monotonic_seconds()
        facts: dict[str, object] = {"call": path}
        try:
            if before is not None:
                await self._failpoints.reach(before)
            reply = await self._transport.send(request)
            facts |= {"http_status": reply.status, "trace_id": trace_id(reply)}
            answer = read_answer(reply.status, await read_whole(reply, answer_bytes_max))
            if answered is not None:
                await self._failpoints.reach(answered)
        except TransportError as failure:
            facts["seconds"] = round(monotonic_seconds() - started, 3)
            _log.warning("provider_call_failed", failure=str(failure), **facts)
            raise _unanswered(path, failure) from failure
        facts["seconds"] = round(monotonic_seconds() - started, 3)
        if answer.meaning is not None:
            raise self._refused(path, answer, facts, said)
        _log.info("provider_called", **facts)
        return answer

    def _refused(self, path: str, answer: Answer, facts: dict[str, object], said: Sequence[str]) -> ProviderError:
        """Log what the provider refused, and say what it means."""
        meaning = answer.meaning
        assert meaning is not None
        message = self._calls.log_refusal(answer, facts, said)
        return ProviderError(
            f"{path}: {answer.code} {message}",
            code=answer.code,
            should_retry=meaning.retryable,
            outcome_known=meaning.outcome_known,
        )


def _unanswered(path: str, failure: TransportError) -> ProviderError:
    """What a call without an answer means."""
    message = f"{path}: {failure}"
    if failure.request_sent:
        return AnswerLostError(message)
    return ProviderError(message, should_retry=failure.kind is FailureKind.REFUSED)


def _says_voice_is_absent(error: ProviderError) -> bool:
    """Whether a deletion failed because there is nothing to delete.

    For that the provider answers 2013 naming the voice id, which is well-formed when we send it.
    """
    if error.code == VOICE_ID_UNKNOWN:
        return True
    return error.code == INVALID_PARAMETERS and names_voice_id(error.message)


def _says_file_is_absent(error: ProviderError) -> bool:
    """Whether a deletion failed because there is nothing to delete: 2013 with words about the file."""
    return error.code == INVALID_SAMPLE or (error.code == INVALID_PARAMETERS and says_file_is_absent(error.message))
