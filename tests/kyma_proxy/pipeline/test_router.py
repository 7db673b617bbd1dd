"""Routes: first match wins, by canonical path, method and model."""

import pytest

from kyma_proxy.pipeline.router import Router
from kyma_proxy.settings import RouteSettings


def route(
    path: str, upstream: str, methods: tuple[str, ...] | None = None, models: tuple[str, ...] | None = None
) -> RouteSettings:
    return RouteSettings(path=path, methods=methods, models=models, upstream=upstream)


ROUTER = Router(
    [
        route("/v1/audio/speech", "minimax", ("POST",), ("minimax-*", "exact")),
        route("/v1/audio/voices", "catalogue", ("GET", "HEAD")),
        route("/v1/audio/**", "origin"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "model", "upstream"),
    [
        ("POST", "/v1/audio/speech", "minimax-speech-hd", "minimax"),
        ("POST", "/v1/audio/speech", "exact", "minimax"),
        ("POST", "/v1/audio/speech", "exactly", "origin"),
        ("POST", "/v1/audio/speech", "eleven-v3", "origin"),
        ("POST", "/v1/audio/speech", None, "origin"),
        ("GET", "/v1/audio/speech", "minimax-speech-hd", "origin"),
        ("GET", "/v1/audio/voices", None, "catalogue"),
        ("DELETE", "/v1/audio/voices", None, "origin"),
        ("GET", "/v1/audio/voices/kyma_1", None, "origin"),
        ("GET", "/v1/audio", None, None),
        ("GET", "/v1/audiobook/x", None, None),
    ],
)
def test_the_first_route_that_matches_wins(method: str, path: str, model: str | None, upstream: str | None) -> None:
    match = ROUTER.match(method, path, model)
    assert (match.upstream if match else None) == upstream


def test_a_model_is_matched_whole_and_by_case() -> None:
    assert ROUTER.match("POST", "/v1/audio/speech", "x-minimax-speech-hd").upstream == "origin"  # type: ignore[union-attr]
    assert ROUTER.match("POST", "/v1/audio/speech", "MINIMAX-speech-hd").upstream == "origin"  # type: ignore[union-attr]
