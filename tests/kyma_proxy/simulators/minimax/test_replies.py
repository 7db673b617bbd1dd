from kyma_proxy.simulators.minimax.replies import RefusalError, invalid_params, success
from kyma_proxy.simulators.replies import encode


def test_a_throttled_reply_is_the_74_bytes_that_were_recorded(fixture_bytes) -> None:
    said = encode(RefusalError(1002).body())

    assert said == fixture_bytes("minimax/rate_limited.reply.json")
    assert len(said) == 74


def test_a_refusal_may_carry_further_fields() -> None:
    assert RefusalError(1000, fields={"demo_audio": ""}).body() == {
        "demo_audio": "",
        "base_resp": {"status_code": 1000, "status_msg": "unknown error"},
    }


def test_invalid_params_name_what_is_wrong() -> None:
    assert str(invalid_params("voice id wrong")) == "2013 invalid params, voice id wrong"


def test_success_and_all_digits_of_an_id() -> None:
    body = encode(success({"file_id": 2**63 - 1}))

    assert body == b'{"file_id":9223372036854775807,"base_resp":{"status_code":0,"status_msg":"success"}}'
