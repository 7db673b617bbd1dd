from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from kyma_proxy.plugin import PluginConfig
from kyma_proxy.settings import models
from kyma_proxy.settings.models import (
    ADAPTERS,
    CAPABILITIES,
    DatabaseSettings,
    ForwardUpstreamSettings,
    HostPort,
    MiniMaxUpstreamSettings,
    PluginEntry,
    RouteSettings,
    ServerSettings,
    Settings,
    UpstreamTimeouts,
)

SECRET = "sk-api-very-secret"


class TokenConfig(PluginConfig):
    token: SecretStr


def settings() -> Settings:
    return Settings(
        database=DatabaseSettings(url=SecretStr(f"postgresql://u:{SECRET}@h/db")),
        upstreams={
            "minimax": MiniMaxUpstreamSettings(
                base_url="https://api.minimax.io", api_key=SecretStr(SECRET), models={"a": "b"}
            ),
            "origin": ForwardUpstreamSettings(
                base_url="https://kymaapi.com", authorization="replace", api_key=SecretStr(SECRET)
            ),
        },
        plugins=(PluginEntry(use="token", config=TokenConfig(token=SecretStr(SECRET))),),
        routes=(RouteSettings(path="/v1/audio/**", upstream="origin"),),
    )


def all_models() -> list[type[BaseModel]]:
    return [value for value in vars(models).values() if isinstance(value, type) and issubclass(value, models.Model)]


def test_every_field_says_what_it_is_for() -> None:
    missing = [
        f"{model.__name__}.{name}"
        for model in all_models()
        for name, field in model.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert len(all_models()) >= 9
    assert missing == []


def test_no_form_of_the_settings_shows_a_secret() -> None:
    value = settings()
    forms = [
        repr(value),
        str(value),
        value.model_dump_json(),
        repr(value.model_dump()),
        str(value.model_dump(mode="json")),
    ]
    forms += [repr(vars(value)), f"{value}", repr(copy.copy(value))]
    assert all("https://kymaapi.com" in form for form in forms)
    assert [form for form in forms if SECRET in form] == []


def test_json_of_the_settings_is_plain_data() -> None:
    data = json.loads(settings().model_dump_json())
    assert data["server"]["listen"] == "127.0.0.1:8080"
    assert data["upstreams"]["minimax"]["models"] == {"a": "b"}
    assert data["plugins"][0]["config"] == {"token": "**********"}
    assert "source" not in data


@pytest.mark.parametrize("part", ["whole", "upstream", "database"])
def test_settings_are_not_pickled(part: str) -> None:
    value: object = {
        "whole": settings(),
        "upstream": settings().upstreams["minimax"],
        "database": settings().database,
    }[part]
    with pytest.raises(TypeError, match="secrets"):
        pickle.dumps(value)


def mutable_parts(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, list | dict | set):
        yield where
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from mutable_parts(getattr(value, name), f"{where}.{name}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from mutable_parts(item, f"{where}[{index}]")
    elif hasattr(value, "items"):
        for name, item in value.items():
            yield from mutable_parts(item, f"{where}[{name}]")


def test_settings_are_frozen_all_the_way_down() -> None:
    value = settings()
    assert list(mutable_parts(value, "settings")) == []
    assert list(mutable_parts(Settings(), "settings")) == []
    with pytest.raises(ValidationError, match="frozen"):
        value.server.workers = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        value.upstreams["x"] = value.upstreams["origin"]  # type: ignore[index]


def test_defaults_are_those_of_the_contract() -> None:
    value = Settings()
    assert (value.server.listen, value.server.admin_listen) == (
        HostPort("127.0.0.1", 8080),
        HostPort("127.0.0.1", 9090),
    )
    assert (value.server.workers, value.server.drain_seconds, value.server.head_timeout_seconds) == (1, 30, 30)
    assert value.database.url.get_secret_value() == "embedded"
    assert str(value.database.data_dir) == ".kyma"


def test_forward_needs_a_key_exactly_when_it_replaces() -> None:
    with pytest.raises(ValidationError, match="needs an api_key"):
        ForwardUpstreamSettings(base_url="http://h", authorization="replace")
    with pytest.raises(ValidationError, match="only with authorization: replace"):
        ForwardUpstreamSettings(base_url="http://h", api_key=SecretStr("k"))


def test_timeouts_do_not_cross() -> None:
    assert UpstreamTimeouts(total_seconds=20).first_byte_seconds == 300
    with pytest.raises(ValidationError, match="first_byte_seconds is longer than total_seconds"):
        UpstreamTimeouts(first_byte_seconds=60, total_seconds=20)


def minimax(**values: Any) -> MiniMaxUpstreamSettings:
    return MiniMaxUpstreamSettings.model_validate({"base_url": "https://h", "api_key": SECRET, **values})


def test_a_provider_does_not_give_up_before_we_do() -> None:
    assert (minimax().clone_timeout_seconds, minimax().longest_clone_seconds) == (180, 300)
    assert minimax(clone_timeout_seconds=60, longest_clone_seconds=60).longest_clone_seconds == 60
    assert minimax(clone_timeout_seconds=900).clone_timeout_seconds == 900  # only what was written can be wrong
    for wrong in ({"longest_clone_seconds": 179}, {"clone_timeout_seconds": 301, "longest_clone_seconds": 300}):
        with pytest.raises(ValidationError, match="longest_clone_seconds must not be below clone_timeout_seconds"):
            minimax(**wrong)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), 1e9, True])
def test_timeouts_are_sane_numbers(seconds: float) -> None:
    with pytest.raises(ValidationError):
        UpstreamTimeouts(idle_seconds=seconds)


def test_the_data_folder_is_a_folder_of_its_own() -> None:
    for bad in (".", "", b"a\\0b".decode("unicode_escape")):
        with pytest.raises(ValidationError, match="folder"):
            DatabaseSettings.model_validate_json(json.dumps({"data_dir": bad}))


def test_what_was_known_is_believed_for_a_bounded_time() -> None:
    assert DatabaseSettings().outage_seconds == 300
    assert DatabaseSettings(outage_seconds=0).outage_seconds == 0
    for bad in (-1, 3601, float("inf"), float("nan")):
        with pytest.raises(ValidationError):
            DatabaseSettings(outage_seconds=bad)


def test_validation_errors_do_not_repeat_input() -> None:
    with pytest.raises(ValidationError) as caught:
        ServerSettings.model_validate({"listen": SECRET, "workers": SECRET})
    assert SECRET not in str(caught.value)


def test_every_adapter_has_capabilities_and_a_model_that_names_it() -> None:
    assert set(ADAPTERS) == set(CAPABILITIES)
    for name, model in ADAPTERS.items():
        assert get_args(model.model_fields["adapter"].annotation) == (name,)


def test_a_deep_copy_is_the_same_frozen_value() -> None:
    value = settings()
    assert copy.deepcopy(value) is value


def test_a_problem_can_be_made_after_loading() -> None:
    assert str(Settings().problem(("plugins", 1, "use"), "needs identity")) == "settings:1:1: needs identity"
