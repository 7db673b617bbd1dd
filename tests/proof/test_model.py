"""Whatever is done in whatever order, the books are what a plain reference says; and the model can fail.

`KYMA_TORTURE=1` searches fifty times as long, with other examples each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from database_kit import Postgres
from kyma_proxy.ledger import holds
from kyma_proxy.voices import claims, mints
from proof_kit.model import DisagreementError, World
from proof_kit.speaking import SpeakingMachine

IS_LONG: Final = bool(os.environ.get("KYMA_TORTURE"))
SEARCH: Final = settings(
    max_examples=2500 if IS_LONG else 50,
    stateful_step_count=50 if IS_LONG else 30,
    deadline=None,
    derandomize=not IS_LONG,
    database=None,
    print_blob=True,
)
FIND: Final = settings(SEARCH, max_examples=400, phases=[Phase.generate], derandomize=True)
"""What is broken is looked for until it is found; making the example small would take longer."""


@pytest.mark.timeout(3600 if IS_LONG else 120)
def test_the_books_are_what_the_reference_says(postgres: Postgres) -> None:
    with World(postgres) as world:
        run_state_machine_as_test(lambda: SpeakingMachine(world), settings=SEARCH)


def without(module: object, name: str, guard: str, instead: str = "") -> Callable[[pytest.MonkeyPatch], None]:
    """A statement that lacks one of its conditions, or has another."""

    def weaken(monkeypatch: pytest.MonkeyPatch) -> None:
        statement = getattr(module, name)
        assert guard in statement
        monkeypatch.setattr(module, name, statement.replace(guard, instead))

    return weaken


@pytest.mark.parametrize(
    ("weaken", "damage"),
    [
        pytest.param(
            without(holds, "_HOLD", "AND balance_micros - held_micros >= $3"),
            "ALTER TABLE accounts DROP CONSTRAINT available_not_negative",
            id="a hold that nobody can pay",
        ),
        pytest.param(
            without(holds, "_HOLD_ALL", "AND balance_micros - held_micros >= (SELECT sum(amount_micros) FROM asked)"),
            "ALTER TABLE accounts DROP CONSTRAINT available_not_negative",
            id="speech that nobody can pay",
        ),
        pytest.param(
            without(holds, "_VOID", "AND state = 'held'"),
            "DROP TRIGGER guard_hold ON holds; ALTER TABLE accounts DROP CONSTRAINT held_not_negative",
            id="a hold that ends twice",
        ),
        pytest.param(
            without(mints, "_COMPLETE", "AND lease_until > clock_timestamp()"),
            "DROP TRIGGER guard_mint ON mints",
            id="a mint that is completed after its lease",
        ),
        pytest.param(
            without(claims, "_LATEST_OF_CONTENT", "account_id = $1", "$1 <> ''"),
            "",
            id="a reply that is told to another account",
        ),
    ],
)
def test_a_rule_that_is_broken_is_found(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, weaken: Callable[[pytest.MonkeyPatch], None], damage: str
) -> None:
    weaken(monkeypatch)
    with World(postgres, damage) as world, pytest.raises((DisagreementError, BaseExceptionGroup)):
        run_state_machine_as_test(lambda: SpeakingMachine(world), settings=FIND)
