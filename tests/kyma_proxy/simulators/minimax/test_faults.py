import pytest
from pydantic import ValidationError

from kyma_proxy.simulators.minimax.faults import FAULTS_MAX, Behaviour, Fault, FaultBook


def test_a_fault_happens_as_often_as_it_was_told() -> None:
    book = FaultBook()
    book.add(Fault(error_code=1002, times=2))

    assert [book.take("/v1/get_voice") is not None for _ in range(4)] == [True, True, False, False]


def test_a_fault_without_times_happens_until_cleared() -> None:
    book = FaultBook()
    book.add(Fault(error_code=1002, times=None))

    assert all(book.take("/v1/get_voice") for _ in range(50))
    book.clear()
    assert book.take("/v1/get_voice") is None


def test_a_fault_of_one_path_leaves_others_alone() -> None:
    book = FaultBook()
    book.add(Fault(path="/v1/voice_clone", reset=True, times=3))

    assert book.take("/v1/files/upload") is None
    assert book.take("/v1/voice_clone") is not None
    assert [fault.times for fault in book.waiting] == [2]


def test_waiting_faults_are_bounded() -> None:
    book = FaultBook()
    for _ in range(FAULTS_MAX):
        book.add(Fault())

    with pytest.raises(ValueError, match="more than 100"):
        book.add(Fault())


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
