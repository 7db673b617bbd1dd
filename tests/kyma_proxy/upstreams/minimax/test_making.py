"""Asked for once, and once more if the answer was lost."""

from __future__ import annotations

import pytest

from kyma_proxy.upstreams.minimax.client import AnswerLostError
from kyma_proxy.upstreams.minimax.errors import VOICE_ID_TAKEN
from kyma_proxy.upstreams.minimax.making import make_once
from kyma_proxy.voices.provider import ProviderError


class Provider:
    """Answers in turn."""

    def __init__(self, *answers: str | ProviderError) -> None:
        self.answers = list(answers)

    async def __call__(self) -> str:
        answer = self.answers.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        return answer


LOST = AnswerLostError("no answer")
TAKEN = ProviderError("taken", code=VOICE_ID_TAKEN)
NO = ProviderError("no", code=1004)


@pytest.mark.parametrize(("answers", "made"), [(["new"], "new"), ([LOST, "again"], "again"), ([LOST, TAKEN], "before")])
async def test_it_is_made(answers: list[str | ProviderError], made: str) -> None:
    provider = Provider(*answers)
    assert await make_once(provider, "kyma_0", "before") == made
    assert provider.answers == []


@pytest.mark.parametrize(
    ("answers", "outcome_known"),
    [
        ([TAKEN], True),
        ([ProviderError("no", code=1004)], True),
        ([LOST, LOST], False),
        ([LOST, ProviderError("no", code=1004)], False),
    ],
)
async def test_it_is_not_or_nobody_knows(answers: list[ProviderError], outcome_known: bool) -> None:
    provider = Provider(*answers)
    with pytest.raises(ProviderError) as caught:
        await make_once(provider, "kyma_0", "before")
    assert caught.value.outcome_known is outcome_known
    assert provider.answers == []
