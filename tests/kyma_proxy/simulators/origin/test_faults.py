import pytest
from pydantic import ValidationError

from kyma_proxy.simulators.origin.faults import Behaviour, Fault


def test_a_fault_is_read_from_json() -> None:
    fault = Fault.model_validate_json('{"http_status": 429, "headers": [["Retry-After", "5"]]}')

    assert fault == Fault(http_status=429, headers=(("Retry-After", "5"),))


@pytest.mark.parametrize("wrong", [{"error_code": "no_such"}, {"trickle_bytes": 0}, {"cut_after_bytes": -1}, {"x": 1}])
def test_what_a_fault_cannot_mean_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(wrong)


def test_behaviour_takes_money_as_text() -> None:
    assert Behaviour().starting_balance_usd == 100_000_000
    assert Behaviour(starting_balance_usd="0.25").starting_balance_usd == 250_000
    with pytest.raises(ValidationError):
        Behaviour(starting_balance_usd=1)
