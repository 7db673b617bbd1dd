"""The `voice_clone` plugin: form → judged recording → minted voice → reply."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kyma_proxy.api import (
    AskingProvider,
    Attempt,
    BodyUse,
    Endpoint,
    Flow,
    Identity,
    Inspection,
    MintOrder,
    Plugin,
    Proceed,
    Recording,
    Repetition,
    Reply,
    Services,
    Spool,
    fingerprint_of,
    format_usd,
    minted_reply,
    monotonic_seconds,
    read_repetition,
)
from kyma_voice_clone.audio.judge import Judgement, check_duration, judge
from kyma_voice_clone.config import VoiceCloneConfig
from kyma_voice_clone.form import CloneForm, FormRules, Upload, receive_form
from kyma_voice_clone.inspection import inspect_recording
from kyma_voice_clone.slots import UploadSlot, UploadSlots

FORM_OVERHEAD_BYTES = 1024 * 1024
"""What a form may weigh beyond its file (contract: an early 413 is for more than the cap plus 1 MiB)."""


@dataclass(frozen=True, slots=True)
class _Received:
    """What came in: the form, and what the request says of being sent again."""

    form: CloneForm
    repetition: Repetition


class VoiceClone(Plugin[VoiceCloneConfig]):
    """Guards `POST /v1/audio/voice-clone`. The order of refusals is the contract's."""

    name = "voice_clone"
    config_model = VoiceCloneConfig
    endpoints = (Endpoint("/v1/audio/voice-clone", frozenset({"POST"})),)
    needs = frozenset({"identity"})
    proceeds = False

    def __init__(self, config: VoiceCloneConfig, services: Services) -> None:
        super().__init__(config, services)
        self._slots = UploadSlots(config.max_uploads_in_flight)
        self._rules = FormRules(config.max_file_bytes, config.max_name_chars, config.models)
        self._judges: ThreadPoolExecutor | None = None

    @classmethod
    def body_use(cls, config: VoiceCloneConfig) -> BodyUse:
        """The whole form: the file and what is around it."""
        return Spool(config.max_file_bytes + FORM_OVERHEAD_BYTES)

    @classmethod
    def explain(cls, config: VoiceCloneConfig) -> Mapping[str, str]:
        """Price, provider and limits."""
        return {
            "price": f"${format_usd(config.price_usd)} a voice",
            "provider": config.upstream,
            "models": ", ".join(config.models),
            "file": f"at most {config.max_file_bytes} bytes, {config.min_seconds:g} to {config.max_seconds:g} s",
            "uploads in flight": f"at most {config.max_uploads_in_flight}",
        }

    @classmethod
    def inspect(cls, config: VoiceCloneConfig | None, data: memoryview) -> Inspection:
        """The verdict of the judge, as a client who sends this file would get it."""
        return inspect_recording(config, data)

    async def start(self) -> None:
        """Start the thread that judges recordings, off the event loop."""
        self._judges = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")

    async def stop(self) -> None:
        """End the judging thread."""
        if self._judges is not None:
            self._judges.shutdown(wait=False, cancel_futures=True)

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Answer the request; it never proceeds."""
        if flow.identity is None:
            raise RuntimeError("voice_clone stands behind a plugin that provides an identity")
        repetition = read_repetition(flow.headers)
        slot = self._slots.take()
        try:
            form = await receive_form(flow, self._rules)
        except BaseException:
            slot.release()
            raise
        # From here on the work owns the upload: it must not be freed under the judge when the client leaves.
        work = self._judge_and_mint(flow, flow.identity, _Received(form, repetition), slot)
        return await self.services.finish(work, name=f"voice_clone {flow.id}")

    async def _judge_and_mint(self, flow: Flow, identity: Identity, received: _Received, slot: UploadSlot) -> Reply:
        form, upstream = received.form, self.config.upstream
        with slot, form.upload as upload:
            judgement, file_hash = await self._judge(flow, upload)
            provider = self.services.voice_providers[upstream].choose_for("clone")
            fingerprint = fingerprint_of(self.name, form.model, form.name, file_hash)
            attempt = Attempt(flow.path, fingerprint, received.repetition, flow.client_connected)
            order = MintOrder(identity.account_id, "clone", form.name, self.config.price_usd, provider, attempt)

            async def create(voice_id: str) -> str:
                flow.facts["voice_id"] = voice_id
                recording = Recording(upload.view(), judgement.extension)
                with await self.services.admission.enter(flow, upstream), AskingProvider(flow, upstream):
                    await provider.clone_voice(voice_id, recording, identity.account_id)
                return voice_id

            reply = await self.services.minting.mint(order, create, lambda minted: minted_reply(minted, form.model))
            flow.charged = True
            return reply

    async def _judge(self, flow: Flow, upload: Upload) -> tuple[Judgement, bytes]:
        """The judgement of an upload that may be cloned, and the hash of its bytes."""
        started = monotonic_seconds()
        loop = asyncio.get_running_loop()
        judgement, file_hash = await loop.run_in_executor(self._judges, _judge_and_hash, upload)
        flow.facts.update(
            audio_format=judgement.format,
            audio_seconds=round(float(judgement.seconds), 3),
            audio_rule=judgement.rule,
            judge_ms=round((monotonic_seconds() - started) * 1000, 1),
        )
        check_duration(judgement, self.config.min_seconds, self.config.max_seconds)
        return judgement, file_hash


def _judge_and_hash(upload: Upload) -> tuple[Judgement, bytes]:
    return judge(upload.view()), hashlib.sha256(upload.view()).digest()
