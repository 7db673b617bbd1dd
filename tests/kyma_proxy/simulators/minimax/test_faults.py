import pytest
from pydantic import ValidationError

from kyma_proxy.simulators.minimax.faults import Behaviour, Fault


def test_fields_are_set_and_dropped_by_dotted_name() -> None:
    fault = Fault(set_fields={"demo_audio": None, "file.bytes": 0, "no.such": 1}, drop_fields=("file.file_id",))
    body = {"demo_audio": "", "file": {"file_id": 1, "bytes": 2}}

    assert fault.change(body) == {"demo_audio": None, "file": {"bytes": 0}}
    assert body == {"demo_audio": "", "file": {"file_id": 1, "bytes": 2}}


@pytest.mark.parametrize(
    "wrong", [{"error_cod": 1}, {"times": 0}, {"moment": "during"}, {"stall_seconds": -1}, {"http_status": 99}]
)
def test_what_a_fault_cannot_mean_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(wrong)


def test_behaviour_is_what_the_documentation_promises_unless_told() -> None:
    assert Behaviour() == Behaviour(accept_any_key=False, require_prompt_audio=False, clone_seconds=0.0)
    with pytest.raises(ValidationError):
        Behaviour.model_validate({"clone_second": 3})


def test_an_error_is_inside_a_stream_only_where_that_was_said() -> None:
    assert not Fault(error_code=1002).breaks_stream
    assert Fault(error_code=1002, error_as="sse").breaks_stream
    assert Fault(error_code=1002, error_after_chunks=0).breaks_stream
