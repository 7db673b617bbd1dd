from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, SecretStr, field_validator, model_validator

from kyma_proxy.money import UsdPrice
from kyma_proxy.plugin import PluginConfig
from kyma_proxy.settings.document import parse_document
from kyma_proxy.settings.problems import ConfigError
from kyma_proxy.settings.validation import Report, validate


class Inner(PluginConfig):
    size: int = Field(default=1, ge=1, le=9)

    @model_validator(mode="after")
    def _even(self) -> Inner:
        if self.size == 7:
            raise ValueError(f"{self.size}\nis odd")
        return self


class Config(PluginConfig):
    name: str = Field(default="x", min_length=1)
    folder: Path = Path()
    price: UsdPrice = 0
    ratio: float = 1.0
    on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    tags: tuple[str, ...] = ()
    sizes: dict[str, Inner] = Field(default_factory=dict)
    either: Inner | list[Inner] | None = None
    token: SecretStr | None = None

    @field_validator("token", mode="before")
    @classmethod
    def _talkative(cls, value: object) -> object:
        if value == "wrong":
            raise ValueError(f"the token {value} is bad")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Config:
        if self.name == "crossed":
            raise ValueError(f"name {self.name}\ncrosses mode")
        return self


def outcome(text: str, environ: dict[str, str] | None = None, *, own_words: bool = False) -> Config | list[str]:
    report = Report(parse_document(text, "f", environ or {}))
    config = validate(Config, (), report.document.value, report, own_words=own_words)
    try:
        report.raise_if_any()
    except ConfigError as error:
        assert config is None or report.document.findings
        return [str(problem) for problem in error.problems]
    assert config is not None
    return config


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: 5", "f:1:7: must be text, not a number: put it in quotes"),
        ("name: true", "f:1:7: must be text, not true or false: put it in quotes"),
        ("name:", "f:1:6: must be text, not nothing"),
        ("name: [a]", "f:1:7: must be text, not a list"),
        ("name: ''", "f:1:7: must not be empty"),
        ("ratio: fast", "f:1:8: must be a number, not text"),
        ("'on': 1", "f:1:7: must be true or false, not a number"),
        ("'on': 'true'", "f:1:7: must be true or false, not text"),
        ("tags: a", "f:1:7: must be a list, not text"),
        ("tags: [a, 1]", "f:1:11: must be text, not a number: put it in quotes"),
        ("sizes: []", "f:1:8: must be a mapping, not a list"),
        ("sizes: {a: {size: 0}}", "f:1:19: must be at least 1"),
        ("sizes: {a: {size: 10}}", "f:1:19: must be at most 9"),
        ("sizes: {a: {size: 1.5}}", "f:1:19: must be a whole number, not a number"),
        ("sizes: {a: {sice: 1}}", 'f:1:13: unknown key "sice"; did you mean "size"?'),
        ("mode: fats", "f:1:7: must be 'fast' or 'slow'"),
        ("price: 2.1", 'f:1:8: a price is a decimal string: write it in quotes, such as "2.10"'),
        ("price: '2.x'", "f:1:8: '2.x' is not an amount in dollars such as 2.10"),
        ("nmae: a", 'f:1:1: unknown key "nmae"; did you mean "name"?'),
        ("sizes: {a: {size: 7}}", "f:1:12: 7 is odd"),
    ],
)
def test_problems_are_in_our_words_and_in_place(text: str, problem: str) -> None:
    assert outcome(text) == [problem]


def test_every_problem_is_reported_in_order() -> None:
    problems = outcome("ratio: x\nname: 1\nextra: 1\ntags: [1, 2]\n")
    assert isinstance(problems, list)
    assert [problem.split(": ")[0] for problem in problems] == ["f:1:8", "f:2:7", "f:3:1", "f:4:8", "f:4:11"]


def test_members_of_a_union_are_in_no_file() -> None:
    problems = outcome("either: {size: 0}")
    assert isinstance(problems, list)
    assert "f:1:16: must be at least 1" in problems


@pytest.mark.parametrize("text", ["12345", "true", "null", "1e5", "~"])
def test_a_reference_where_text_is_wanted_stays_text(text: str) -> None:
    config = outcome('name: ${V}\nfolder: ${V}\ntoken: ${V}\ntags:\n  - "${V}"\n  - ${V}\n', {"V": text})
    assert isinstance(config, Config)
    assert (config.name, config.folder, config.tags) == (text, Path(text), (text, text))
    # A field that may be left out takes null for that; any other text reaches it.
    assert config.token is None if text in ("null", "~") else config.token == SecretStr(text)


def test_an_unset_variable_is_one_problem() -> None:
    problems = outcome("name: ${UNSET}\nratio: ${UNSET:-x}\n")
    assert isinstance(problems, list)
    assert len(problems) == 2
    assert "UNSET is not set" in problems[0]
    assert problems[1] == "f:2:8: must be a number, not text"


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("price: '${V}'", {"V": "s3cret"}),
        ("mode: ${V}", {"V": "s3cret"}),
        ("ratio: ${V}", {"V": "s3cret"}),
        ("name: ${V}\nmode: x", {"V": "s3cret"}),
        ("sizes:\n  a: ${V}", {"V": "s3cret"}),
    ],
)
def test_a_value_from_the_environment_is_never_repeated(text: str, environ: dict[str, str]) -> None:
    problems = outcome(text, environ)
    assert isinstance(problems, list)
    assert problems
    assert "s3cret" not in " ".join(problems)


def test_talkative_validators_are_silenced_where_a_secret_may_stand() -> None:
    hidden = "is not valid; its value may be a secret and is not shown"
    assert outcome("token: wrong") == [f"f:1:8: {hidden}"]
    assert outcome("name: ${V}", {"V": "crossed"}) == [f"f:1:1: {hidden}"]
    assert outcome("name: crossed", own_words=True) == ["f:1:1: name crossed crosses mode"]


def test_a_rule_of_the_whole_waits_for_parts_that_could_not_be_made() -> None:
    problems = outcome("name: crossed\ntoken: ${UNSET}\n")
    assert isinstance(problems, list)
    assert len(problems) == 1
    assert "UNSET is not set" in problems[0]


def test_an_unknown_name_from_the_environment_is_not_repeated() -> None:
    report = Report(parse_document("a: ${V}\nb: minimx\n", "f", {"V": "s3cret"}))
    report.unknown(("a",), "upstream", "s3cret", ["minimax"])
    report.unknown(("b",), "upstream", "minimx", ["minimax"])
    with pytest.raises(ConfigError) as caught:
        report.raise_if_any()
    assert str(caught.value) == (
        "f:1:4: unknown upstream; its name comes from the environment and is not shown\n"
        'f:2:4: unknown upstream "minimx"; did you mean "minimax"?'
    )
