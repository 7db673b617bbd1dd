import pytest

from kyma_proxy.simulators.origin.routes import METHODS, OPERATIONS, find, preflight


def test_head_is_get_and_nothing_else_is_guessed() -> None:
    assert find("HEAD", "/v1/audio/voices") is OPERATIONS["GET", "/v1/audio/voices"]
    assert find("GET", "/v1/audio/speech") is None
    assert find("POST", "/v1/audio/voices") is None
    assert find("POST", "/v1/audio/voice-clone") is None


@pytest.mark.parametrize("path", METHODS)
def test_preflight_names_the_method(path) -> None:
    reply = preflight(path)

    assert reply.status == 204
    assert reply.headers["Allow"] == reply.headers["Access-Control-Allow-Methods"] == f"{METHODS[path]}, OPTIONS"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
