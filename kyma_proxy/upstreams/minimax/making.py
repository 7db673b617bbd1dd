"""Making a voice at MiniMax once, though its answer may be lost: what the two ways to make one have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from kyma_proxy.upstreams.minimax.client import AnswerLostError
from kyma_proxy.upstreams.minimax.errors import VOICE_ID_TAKEN
from kyma_proxy.voices.provider import ProviderError

T = TypeVar("T")
_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


async def make_once(ask: Callable[[], Awaitable[T]], voice_id: str, made_before: T) -> T:
    """Ask for a voice, and once more under the same id if the answer was lost: an id that is taken says it was made.

    Then the result is `made_before`. Raises ProviderError, with `outcome_known` false when the voice may exist.
    """
    try:
        return await ask()
    except AnswerLostError as error:
        lost = error.message
    _log.warning("provider_voice_asked_again", voice_id=voice_id, failure=lost)
    try:
        made = await ask()
    except ProviderError as error:
        if error.code != VOICE_ID_TAKEN:
            _log.warning("provider_voice_still_unknown", voice_id=voice_id, failure=error.message)
            message = f"{lost}; asked again: {error.message}"
            raise ProviderError(message, code=error.code, outcome_known=False) from error
        _log.info("provider_voice_made_before", voice_id=voice_id)
        return made_before
    _log.info("provider_voice_made_now", voice_id=voice_id)
    return made
