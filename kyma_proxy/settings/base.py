"""What every part of the settings is: strict, frozen, and silent about secrets."""

from __future__ import annotations

from typing import Annotated, NoReturn, Self, SupportsIndex

from pydantic import BaseModel, ConfigDict, Field

DAY_SECONDS = 86_400
Seconds = Annotated[float, Field(gt=0, le=DAY_SECONDS, allow_inf_nan=False)]
NonEmpty = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of all settings: strict, frozen, unknown keys are errors, and secrets stay inside the process."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Settings cannot be pickled: a pickle holds secrets in the clear."""
        raise TypeError("settings hold secrets and cannot be pickled; load them again instead")

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> Self:
        """The same settings: they are frozen all the way down."""
        return self
