"""Identifiers have their length and do not repeat."""

from __future__ import annotations

import subprocess
import sys

from kyma_proxy.identifiers import hex_identifier


def test_each_has_its_digits_and_is_another() -> None:
    made = [hex_identifier(24) for _ in range(1000)]
    assert len(set(made)) == len(made)
    assert all(len(it) == 24 and int(it, 16) >= 0 and it == it.lower() for it in made)


def test_each_process_makes_others() -> None:
    ask = [sys.executable, "-c", "from kyma_proxy.identifiers import hex_identifier; print(hex_identifier(32))"]
    first, second = (subprocess.run(ask, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first != second
