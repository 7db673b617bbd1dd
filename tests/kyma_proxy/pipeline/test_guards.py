"""Guards of plain paths and of patterns, and those that share their path with the route's upstream."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply, RequestTarget
from kyma_proxy.pipeline.guards import Guard, Guards
from kyma_proxy.pipeline.paths import canonical_path


async def answer(_flow: Flow) -> Reply:
    return Reply(200)


def guard(path: str, *methods: str, shared: bool = False) -> Guard:
    return Guard(path, MappingProxyType(dict.fromkeys(methods, answer)), ", ".join(methods), shared)


GUARDS = Guards(
    {
        each.path: each
        for each in (
            guard("/v1/audio/speech", "POST"),
            guard("/v1/audio/voices", "GET", shared=True),
            guard("/v1/audio/voices/{id}", "GET", "DELETE", shared=True),
            guard("/v1/audio/jobs/{id}", "GET"),
        )
    }
)


def met(method: str, raw_path: str) -> str | None:
    found = GUARDS.met_by(method, RequestTarget(raw_path, None, canonical_path(raw_path)))
    return found and found.path


@pytest.mark.parametrize(
    ("method", "raw_path", "path"),
    [
        ("GET", "/v1/audio/voices", "/v1/audio/voices"),
        ("GET", "/v1//audio/%76oices/", "/v1/audio/voices"),
        ("GET", "/v1/audio/voices/kyma_1", "/v1/audio/voices/{id}"),
        ("DELETE", "/v1/audio/voices/Chinese%20(Mandarin)", "/v1/audio/voices/{id}"),
        ("GET", "/v1/audio/voices/a%2Fb", "/v1/audio/voices/{id}"),
        ("GET", "/v1/audio/voices/{id}", "/v1/audio/voices/{id}"),
        ("GET", "/v1/audio/voices/one/two", None),
        ("GET", "/v1/audio/other/one", None),
        ("POST", "/v1/audio/voices", None),
        ("PUT", "/v1/audio/voices/kyma_1", None),
        ("OPTIONS", "/v1/audio//voices", None),
        ("GET", "/v1/audio/VOICES", None),
        ("GET", "/v1/audio/%2576oices", None),
        ("POST", "/v1/audio/speech", "/v1/audio/speech"),
        ("GET", "/v1/audio/jobs/7", "/v1/audio/jobs/{id}"),
    ],
)
def test_which_guard_a_request_meets(method: str, raw_path: str, path: str | None) -> None:
    assert met(method, raw_path) == path


@pytest.mark.parametrize(
    ("method", "raw_path", "code"),
    [
        ("POST", "/v1/audio/SPEECH", ErrorCode.INVALID_REQUEST),
        ("DELETE", "/v1/audio/jobs/7", ErrorCode.METHOD_NOT_ALLOWED),
        ("GET", "/v1/models/x", ErrorCode.NOT_FOUND),
    ],
)
def test_which_requests_meet_none_and_go_nowhere(method: str, raw_path: str, code: ErrorCode) -> None:
    with pytest.raises(GatewayError) as caught:
        met(method, raw_path)
    assert caught.value.code is code


def test_guards_are_a_mapping_by_path() -> None:
    assert len(GUARDS) == 4
    assert "/v1/audio/voices/{id}" in set(GUARDS)
    assert GUARDS["/v1/audio/speech"].methods == {"POST": answer}
