"""The rules of complete documentation can fail."""

from __future__ import annotations

import click
import pytest
from pydantic import BaseModel, Field

from tidy import docs

_TOO_LARGE = docs.Refusal("TOO_LARGE", 413, "invalid_request")
_INVALID = docs.Refusal("INVALID_REQUEST", 400, "invalid_request")
_AWAY = docs.Refusal("UNAVAILABLE", 503, "unavailable")


class _Inner(BaseModel):
    seconds: int


class _Outer(BaseModel):
    max_bytes: int = Field(description="how much")
    inner: dict[str, _Inner | None] = Field(description="more")
    position: int = Field(default=0, exclude=True, description="no key of the file")


@click.group()
def _main() -> None: ...


@_main.group()
def accounts() -> None: ...


@accounts.command()
def create() -> None: ...


@_main.command(hidden=True)
def check() -> None: ...


def test_code_in_markdown() -> None:
    text = "word `a b` word `c`\n```sh\nmake dev\n```\nafter"
    assert docs.code_in(text).splitlines() == ["a b", "c", "make dev"]


def test_a_plugin_without_readme_or_word_is_found() -> None:
    points = {"x": "kyma_x.plugin:X"}
    assert docs.undocumented_plugins(points, {"README.md": "`x`", "plugins/kyma_x/README.md": ""}) == []
    found = docs.undocumented_plugins(points, {"README.md": "x in prose"})
    assert [finding.split(":")[0] for finding in found] == ["plugins/kyma_x/README.md", "README.md"]


def test_config_models_are_found_inside_containers() -> None:
    assert set(docs.config_models(_Outer)) == {_Outer, _Inner}


def test_a_field_without_description_is_found() -> None:
    found = docs.undescribed_fields([_Outer, _Inner])
    assert len(found) == 1
    assert found[0].endswith("_Inner.seconds: give the field a description")


def test_a_field_the_docs_do_not_name_is_found() -> None:
    said = "`max_bytes` and\n```yaml\ninner: {}\n```\nsome seconds"
    assert docs.unmentioned_fields([_Outer], said, "README.md") == []
    assert docs.unmentioned_fields([_Inner], said, "README.md") == ["README.md:1: name the field `seconds` of _Inner"]
    assert docs.unmentioned_fields([_Inner], "`idle_seconds`", "README.md")


def test_an_error_without_its_line_is_found() -> None:
    table = "| 413 | `invalid_request` |\n| 503 | other |"
    assert docs.undocumented_refusals([_TOO_LARGE], table) == []
    assert len(docs.undocumented_refusals([_INVALID, _AWAY], table)) == 2


@pytest.mark.parametrize(
    ("tests", "missing"),
    [
        ("ErrorCode.TOO_LARGE, ErrorCode.INVALID_REQUEST, ErrorCode.UNAVAILABLE", set()),
        ("(413, 'invalid_request')\n(400, 'invalid_request')\n'unavailable'", set()),
        ("'invalid_request'\n'unavailable'", {"TOO_LARGE", "INVALID_REQUEST"}),
        ("(413, 'invalid_request')\nan unavailable thing", {"INVALID_REQUEST", "UNAVAILABLE"}),
    ],
)
def test_an_error_that_no_test_provokes_is_found(tests: str, missing: set[str]) -> None:
    found = docs.unprovoked_refusals([_TOO_LARGE, _INVALID, _AWAY], tests)
    assert {finding.split("ErrorCode.")[1].rstrip(")") for finding in found} == missing


def test_commands_are_walked_hidden_ones_too() -> None:
    assert set(docs.command_paths(_main)) == {("accounts", "create"), ("check",)}


def test_a_command_the_docs_do_not_show_is_found() -> None:
    paths = list(docs.command_paths(_main))
    assert docs.undocumented_commands(paths, "`accounts create NAME`\n```\nkyma-proxy check\n```") == []
    assert len(docs.undocumented_commands(paths, "to check, accounts create helps; `kyma-proxy dev`")) == 2


def test_a_command_no_test_runs_is_found() -> None:
    paths = list(docs.command_paths(_main))
    assert docs.untested_commands(paths, 'run("accounts", "create", "x")\nrun("kyma-proxy check")') == []
    assert docs.untested_commands(paths, "run('accounts create x')\nrun('check')") == []
    assert len(docs.untested_commands(paths, "accounts.create(check)")) == 2
