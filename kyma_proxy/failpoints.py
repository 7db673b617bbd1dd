"""Named places where a test makes something go wrong: every step of a mint has one. In production they do nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Protocol


class Failpoint(StrEnum):
    """One step of a mint, in the order they are passed, or of a charge for speech.

    `…_COMMITTED` stands where the server has committed and nobody here knows yet.
    """

    BEGIN = "mint.begin"
    BEGIN_CLAIMED = "mint.begin.claimed"
    BEGIN_VOICE_WRITTEN = "mint.begin.voice_written"
    BEGIN_HELD = "mint.begin.held"
    BEGIN_COMMITTED = "mint.begin.committed"
    BEGUN = "mint.begun"
    UPLOAD_CALL = "provider.upload.call"
    UPLOAD_ANSWERED = "provider.upload.answered"
    CLONE_CALL = "provider.clone.call"
    CLONE_ANSWERED = "provider.clone.answered"
    DESIGN_CALL = "provider.design.call"
    DESIGN_ANSWERED = "provider.design.answered"
    NOTED = "mint.noted"
    COMPLETE = "mint.complete"
    COMPLETE_ACTIVATED = "mint.complete.activated"
    COMPLETE_POSTED = "mint.complete.posted"
    COMPLETE_STORED = "mint.complete.stored"
    COMPLETE_COMMITTED = "mint.complete.committed"
    COMPLETED = "mint.completed"
    UNDO = "mint.undo"
    UNDO_BURNED = "mint.undo.burned"
    UNDO_VOIDED = "mint.undo.voided"
    UNDO_COMMITTED = "mint.undo.committed"
    UNDONE = "mint.undone"
    DELETE_CALL = "provider.delete.call"
    DELETE_ANSWERED = "provider.delete.answered"
    CHARGE_HOLD = "charge.hold"
    CHARGE_HELD = "charge.hold.committed"
    CHARGE_END = "charge.end"
    CHARGE_ENDED = "charge.end.committed"
    REPLY = "reply"
    REPLIED = "replied"


class Failpoints(Protocol):
    """Told of every failpoint that is passed; it may raise, wait, cut lines or end the process."""

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        """A failpoint is passed; `subject` is what the step is about: a connection, or None."""


class NoFailpoints:
    """What production has: nothing happens anywhere."""

    async def reach(self, point: Failpoint, subject: Any = None) -> None:
        """Go on."""


NO_FAILPOINTS: Final = NoFailpoints()
