"""The verdict on a file outside of any request: what support staff ask about a customer's recording."""

from __future__ import annotations

from dataclasses import replace

from kyma_proxy.api import GatewayError, Inspection
from kyma_voice_clone.audio.judge import Judgement, check_duration, judge
from kyma_voice_clone.audio.sniff import sniff
from kyma_voice_clone.config import VoiceCloneConfig
from kyma_voice_clone.form import empty, too_large


def inspect_recording(config: VoiceCloneConfig | None, data: memoryview) -> Inspection:
    """What `POST /v1/audio/voice-clone` would say of a recording, in the order of its refusals (contract section 4).

    Without a `config` the documented limits count. A file that is too large is measured all the same.
    """
    limits = config or VoiceCloneConfig(upstream="")
    judged = _judge(data)
    refusal = _refusal(data, limits, judged)
    found = Inspection("accepted", 200) if refusal is None else Inspection.of_refusal(refusal)
    if isinstance(judged, Judgement):
        return replace(found, format=judged.format, seconds=judged.seconds, rule=judged.rule)
    return replace(found, format=_format(data))


def _refusal(data: memoryview, limits: VoiceCloneConfig, judged: Judgement | GatewayError) -> GatewayError | None:
    if len(data) > limits.max_file_bytes:
        return too_large(limits.max_file_bytes)
    if isinstance(judged, GatewayError):
        return judged
    try:
        check_duration(judged, limits.min_seconds, limits.max_seconds)
    except GatewayError as error:
        return error
    return None


def _judge(data: memoryview) -> Judgement | GatewayError:
    if not data:
        return empty()
    try:
        return judge(data)
    except GatewayError as error:
        return error


def _format(data: memoryview) -> str | None:
    try:
        return sniff(data)
    except GatewayError:
        return None
