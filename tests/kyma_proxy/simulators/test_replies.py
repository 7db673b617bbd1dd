import json

from kyma_proxy.simulators.replies import encode, json_response


def test_json_is_compact_utf_8_with_all_digits() -> None:
    assert (
        encode({"file_id": 2**63 - 1, "name": "Stimme ä"})
        == '{"file_id":9223372036854775807,"name":"Stimme ä"}'.encode()
    )


def test_half_a_surrogate_pair_does_not_break_the_reply() -> None:
    assert json.loads(encode({"name": "\ud800"})) == {"name": "?"}


def test_a_reply_names_no_charset() -> None:
    reply = json_response({"a": 1}, status=402)

    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (402, b'{"a":1}', "application/json")
