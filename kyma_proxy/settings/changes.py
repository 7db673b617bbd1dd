"""What differs between two configurations and only counts after a restart."""

from __future__ import annotations

from kyma_proxy.settings.models import Settings
from kyma_proxy.settings.problems import Problem

RESTART_SECTIONS = ("server", "database")
"""Listeners, workers and the database are opened once (contract section 5)."""


def restart_needed(running: Settings, new: Settings) -> tuple[Problem, ...]:
    """Where `new` asks for something that a reload does not change, in the order of its fields."""
    found = []
    for section in RESTART_SECTIONS:
        old_values, new_values = getattr(running, section), getattr(new, section)
        for name in type(new_values).model_fields:
            if getattr(old_values, name) != getattr(new_values, name):
                message = f"{section}.{name} has changed: that counts after a restart"
                found.append(new.problem((section, name), message))
    return tuple(found)
