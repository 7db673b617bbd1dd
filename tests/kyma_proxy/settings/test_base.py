"""Settings cannot change and do not leak."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import ValidationError

from kyma_proxy.settings.base import Model


class Small(Model):
    """A setting."""

    number: int = 1


def test_they_are_strict_and_frozen() -> None:
    small = Small()
    with pytest.raises(ValidationError):
        small.number = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Small(number="1")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Small(nmber=1)  # type: ignore[call-arg]
    assert copy.deepcopy(small) is small


def test_they_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="secrets"):
        pickle.dumps(Small())
