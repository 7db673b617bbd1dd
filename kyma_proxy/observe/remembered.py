"""The last requests, as their log lines told them, for whoever asks about one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyma_proxy.observe.endings import WORDS, EndReason
from kyma_proxy.observe.logs import redact


class Remembered:
    """The lines of the last `count` requests, by request id. A repeated id stands for the last request that had it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lines: dict[str, Mapping[str, Any]] = {}

    def __repr__(self) -> str:
        return f"Remembered({len(self._lines)} of {self._count})"

    def keep(self, request_id: str, line: Mapping[str, Any]) -> None:
        """Remember a request; the oldest one is forgotten for it."""
        if not self._count:
            return
        lines = self._lines
        lines.pop(request_id, None)
        lines[request_id] = line
        if len(lines) > self._count:
            del lines[next(iter(lines))]

    def recall(self, request_id: str) -> Mapping[str, Any] | None:
        """What is known of a request, without secrets, and what that means; None once it is forgotten."""
        line = self._lines.get(request_id)
        if line is None:
            return None
        told = redact(line)
        assert isinstance(told, dict)
        return told | {"explanation": explanation_of(line)}


def explanation_of(line: Mapping[str, Any]) -> list[str]:
    """What the reason and the `by` of a line mean, in sentences."""
    words = WORDS[EndReason(line["reason"])]
    by = line.get("by")
    sentences = [words[""]]
    if by:
        sentences.append(f"{by}: {words[by]}" if by in words else f"by the plugin {by}")
    return sentences
