from __future__ import annotations

import pytest
from pydantic import Field

from kyma_proxy.plugin import PluginConfig, UpstreamReference, VoiceProviderName
from kyma_proxy.settings.checks import check_reachable, check_references, check_route, check_server
from kyma_proxy.settings.document import parse_document
from kyma_proxy.settings.models import RouteSettings, ServerSettings
from kyma_proxy.settings.problems import ConfigError
from kyma_proxy.settings.validation import Report, validate


def problems(report: Report) -> list[str]:
    try:
        report.raise_if_any()
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def empty_report(text: str = "{}") -> Report:
    return Report(parse_document(text, "f", {}))


def routes_report(*routes: str) -> list[str]:
    report = empty_report("routes:\n" + "".join(f"- {route}\n" for route in routes))
    found: dict[int, RouteSettings] = {}
    for index, value in enumerate(report.document.value["routes"]):  # type: ignore[index]
        route = validate(RouteSettings, ("routes", index), value | {"upstream": "o"}, report)
        assert route is not None
        if check_route(("routes", index), route, report):
            found[index] = route
    check_reachable(found, report)
    return problems(report)


@pytest.mark.parametrize("path", ["/v1/audio/**", "/v1/audio/speech", "/v1/audio/voices/**", "/v1/audio/a.b-c_d~e"])
def test_good_paths(path: str) -> None:
    assert routes_report(f'{{path: "{path}"}}') == []


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/v1/audio", "/v1/audio/", "/v1/chat/x", "/v1/audio/x/", "/v1/audio//x", "/v1/audio/*"),
        *("/v1/audio/a**", "/v1/audio/**/x", "/v1/audio/../x", "/v1/audio/.", "/v1/audio/%41", "/v1/audio/x?y"),
        "/v1/audiox/y",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    (problem,) = routes_report(f'{{path: "{path}"}}')
    assert problem.startswith("f:2:10: must be a plain path under /v1/audio/")


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("methods: []", "an empty list matches nothing: leave methods out"),
        ("models: []", "an empty list matches nothing: leave models out"),
        ("methods: [post]", 'unknown method "post"; did you mean "POST"?'),
        ("methods: [TRACE]", 'unknown method "TRACE"'),
        ("models: ['a b']", "must be a model's name"),
        ("models: ['a[bc]']", "must be a model's name"),
    ],
)
def test_bad_methods_and_models(rest: str, words: str) -> None:
    (problem,) = routes_report(f"{{path: /v1/audio/speech, {rest}}}")
    assert words in problem


@pytest.mark.parametrize(
    ("routes", "taken_by"),
    [
        (["{path: /v1/audio/**}", "{path: /v1/audio/speech}"], "line 2"),
        (["{path: /v1/audio/**}", "{path: /v1/audio/**}"], "line 2"),
        (["{path: /v1/audio/**}", "{path: /v1/audio/a/**, methods: [GET]}"], "line 2"),
        (["{path: /v1/audio/a, methods: [GET, POST]}", "{path: /v1/audio/a, methods: [POST]}"], "line 2"),
        (["{path: /v1/audio/a, models: ['x*']}", "{path: /v1/audio/a, models: [xy, 'x-*']}"], "line 2"),
        (
            [
                "{path: /v1/audio/a, methods: [GET]}",
                "{path: /v1/audio/a, methods: [POST]}",
                "{path: /v1/audio/a, methods: [POST, GET]}",
            ],
            "line 2 and line 3",
        ),
    ],
)
def test_a_route_that_can_never_match_is_refused(routes: list[str], taken_by: str) -> None:
    line = len(routes) + 1
    expected = f"f:{line}:3: this route can never match: all its requests are taken by {taken_by}"
    assert routes_report(*routes) == [expected]


@pytest.mark.parametrize(
    "routes",
    [
        ["{path: /v1/audio/speech}", "{path: /v1/audio/**}"],
        ["{path: /v1/audio/a/**}", "{path: /v1/audio/a}"],
        ["{path: /v1/audio/a/**}", "{path: /v1/audio/ab}"],
        ["{path: /v1/audio/a, methods: [GET]}", "{path: /v1/audio/a}"],
        ["{path: /v1/audio/a, methods: [GET]}", "{path: /v1/audio/a, methods: [GET, POST]}"],
        ["{path: /v1/audio/a, models: ['*']}", "{path: /v1/audio/a}"],
        ["{path: /v1/audio/a, models: [xy]}", "{path: /v1/audio/a, models: ['x*']}"],
        ["{path: /v1/audio/a, models: ['x*-hd']}", "{path: /v1/audio/a, models: ['x*']}"],
    ],
)
def test_a_route_that_something_is_left_for_is_kept(routes: list[str]) -> None:
    assert routes_report(*routes) == []


class Nested(PluginConfig):
    upstream: VoiceProviderName


class Referring(PluginConfig):
    voices: VoiceProviderName | None = None
    anyone: str | None = Field(default=None, description="not a reference")
    any_upstreams: tuple[VoiceProviderName, ...] = ()
    by_name: dict[str, VoiceProviderName] = Field(default_factory=dict)
    nested: Nested | None = None


class Marked(PluginConfig):
    one: VoiceProviderName


class Plain(PluginConfig):
    one: str = Field(default="minimax")


ADAPTERS = {"minimax": "minimax", "origin": "forward", "faulty": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voices: minimax", []),
        ("anyone: nobody", []),
        ("voices: faulty", []),
        ("voices: minimx", ['f:1:9: unknown upstream "minimx"; did you mean "minimax"?']),
        ("any_upstreams: [minimax, zzz]", ["f:1:26: unknown upstream"]),
        ("by_name: {a: zzz}", ["f:1:14: unknown upstream"]),
        ("nested: {upstream: zzz}", ["f:1:20: unknown upstream"]),
        ("voices: origin", ['f:1:9: needs an upstream that offers "voices"; this one\'s adapter is forward']),
    ],
)
def test_references_to_upstreams(text: str, expected: list[str]) -> None:
    report = empty_report(text)
    config = validate(Referring, (), report.document.value, report)
    assert config is not None
    check_references(config, (), ADAPTERS, report)
    found = problems(report)
    assert len(found) == len(expected)
    assert all(problem.startswith(start) for problem, start in zip(found, expected, strict=True))


def test_a_mark_on_the_field_itself_is_seen() -> None:
    report = empty_report("one: zzz")
    assert any(isinstance(mark, UpstreamReference) for mark in Marked.model_fields["one"].metadata)
    check_references(Marked(one="zzz"), (), ADAPTERS, report)
    assert len(problems(report)) == 1
    quiet = empty_report("one: zzz")
    check_references(Plain(one="zzz"), (), ADAPTERS, quiet)
    assert problems(quiet) == []


def server_problems(text: str) -> list[str]:
    report = empty_report(text)
    server = validate(ServerSettings, ("server",), report.document.value["server"], report)  # type: ignore[index]
    assert server is not None
    check_server(server, report)
    return problems(report)


def test_two_listeners() -> None:
    same = "f:1:10: listen and admin_listen must differ: the admin listener is not for clients"
    assert server_problems("server: {listen: '127.0.0.1:1', admin_listen: '127.0.0.1:1'}") == [
        same.replace("f:1:10", "f:1:47")
    ]
    assert server_problems("server: {listen: 'localhost:9090'}")[0].startswith("f:1:18: listen and admin_listen")
    assert server_problems("server: {listen: '127.0.0.1:0', admin_listen: '127.0.0.1:0'}") == []
    assert server_problems("server: {workers: 2}") == []
