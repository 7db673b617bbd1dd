"""Writes the pages `configuration`, `errors`, `reasons` and `speech` of `docs/` from the code, so that they agree.

Run `make docs` after changing a setting or one of the tables; a test compares the files with what this would write.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kyma_proxy.errors import ErrorCode
from kyma_proxy.money import format_usd
from kyma_proxy.observe.endings import PLUGIN, WORDS
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import (
    BaseUrlEntry,
    BreakerSettings,
    CorsSettings,
    DatabaseSettings,
    ForwardUpstreamSettings,
    HostPort,
    MiniMaxAccountSettings,
    MiniMaxUpstreamSettings,
    RouteSettings,
    ServerSettings,
    TlsSettings,
    TracingSettings,
    UpstreamTimeouts,
)
from kyma_proxy.upstreams.minimax.errors import CODES, Fault
from kyma_proxy.upstreams.minimax.formats import DEFAULT_FORMAT, FORMATS, PROVIDER_FORMATS
from kyma_proxy.upstreams.minimax.speech_fields import FIELDS, NO_MEANING_HERE, Field
from kyma_proxy.upstreams.minimax.speech_refusals import as_said_of_speech, refusal_of
from kyma_proxy.upstreams.minimax.wire import Answer

DOCS = Path(__file__).parent
PRICE_SUFFIX = "_usd"
"""Of settings that are read as decimal strings and kept in micro-dollars."""
SHIPPED_PLUGINS = ("api_key_auth", "voice_clone", "voice_design", "voice_ownership", "speech_metering", "voice_library")

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("`server`", ServerSettings),
    ("`server.tls`", TlsSettings),
    ("`server.cors`", CorsSettings),
    ("`server.tracing`", TracingSettings),
    ("`database`", DatabaseSettings),
    ("`upstreams.NAME` with `adapter: minimax`", MiniMaxUpstreamSettings),
    ("`upstreams.NAME.accounts[]` with `adapter: minimax`", MiniMaxAccountSettings),
    ("`upstreams.NAME` with `adapter: forward`", ForwardUpstreamSettings),
    ("`upstreams.NAME.base_urls[]`", BaseUrlEntry),
    ("`upstreams.NAME.timeouts`", UpstreamTimeouts),
    ("`upstreams.NAME.breaker`", BreakerSettings),
    ("`routes[]`", RouteSettings),
)

_BELOW = frozenset(model for _, model in SECTIONS)

CONFIGURATION_HEAD = """# Configuration

Made by `make docs` from the models that read the file; do not edit.

One YAML file, `config/gateway.yaml` unless `--config` or `KYMA_CONFIG` says otherwise. `${NAME}` and
`${NAME:-default}` are read from the environment after the YAML is parsed, so a value can never change the structure of
the file; an unset variable without a default is an error. Unknown keys, duplicate keys, wrong types and alias bombs are
errors, all reported at once as `file:line:column: message` by `kyma-proxy check`.

`version` is 1. `plugins` is a list of `use` (a plugin's name) and `config` (its settings, below); first is outermost.
`routes` choose an upstream only; the first that matches wins.
"""

ERRORS_HEAD = """# Errors made by the gateway

Made by `make docs` from the table in `kyma_proxy/errors.py`; do not edit.

Each is `{"error":{"message","type","code"}}` as `application/json`, with `x-request-id` and `x-should-retry`. Errors of
an upstream on a forwarded route pass through byte for byte and are not in this table. `x-should-retry` is `true` only
where repeating is safe and useful; on `provider_error` it is `true` when the provider throttled or refused the
connection, because then nothing was done.

| status | `error.code` | `error.type` | `x-should-retry` | when |
|---|---|---|---|---|
"""

REASONS_HEAD = """# How requests end

Made by `make docs` from the table in `kyma_proxy/observe/endings.py`; do not edit.

Every request ends with one `reason`, and where it makes a difference with `by`: whom or what. Both are in its line of
the log and in the metric `kyma_requests_ended_total{reason,by}`. The status is another matter: an origin's 500 that
was passed on whole is `completed`, and a 200 whose body broke off is not.

| `reason` | `by` | when |
|---|---|---|
"""

RETRIES = """
An answer of 200 carries `x-should-retry: false`. These answers of the provider make it `true` on `provider_error`,
because then nothing was done:

| provider's code | what it means |
|---|---|
"""

SPEECH_HEAD = """# Speech at MiniMax

Made by `make docs` from the tables in `kyma_proxy/upstreams/minimax/`; do not edit.

`POST /v1/audio/speech` with a model of `upstreams.NAME.models` becomes one `POST /v1/t2a_v2`, whose body is written
afresh from these fields; others are ignored. A field that is null counts as left out; two names of one field that
disagree are 400.

| field | what it is |
|---|---|
| `model` | a public name of `upstreams.NAME.models`; another one is 400 `not_a_tts_model` |
| `input` (or `text`) | the text, at most `max_input_chars` code points |
| `voice_id` | the voice, at most 256 characters; also `voice`, `voice.id`, `voice.voice_id`, `voice_setting.voice_id` |
| `timbre_weights` (or `timber_weights`) | instead of a voice: up to 4 of `{"voice_id", "weight": 1 to 100}` to mix |
| `response_format` | see below |
FIELDS| `stream` | true: the plain audio as it is spoken; `stream_format` may only be `audio` |

A failure before the first audio is answered as below. One after it, or an end without the provider's closing event,
resets the client's connection, so that a part cannot pass for the whole. An answer that is not streamed may
have a second of audio for each code point at speed 1, and at most 512 MiB of JSON. Nothing is ever sent twice.

"""


def configuration() -> str:
    """The text of `docs/configuration.md`."""
    parts = [CONFIGURATION_HEAD]
    for title, model in SECTIONS:
        parts.append(_table(title, model))
    plugins = InstalledPlugins()
    for name in SHIPPED_PLUGINS:
        model = plugins[name].config_model
        title = f"Plugin `{name}`"
        parts.append(_table(title, model) if model.model_fields else f"## {title}\n\nNo settings.\n")
        for field_name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                parts.append(_table(f"Plugin `{name}`, `{field_name}`", field.annotation))
    return "\n".join(parts)


def errors() -> str:
    """The text of `docs/errors.md`."""
    rows = [
        f"| {code.status} | `{code.code}` | `{code.kind}` | {str(code.should_retry).lower()} | {code.meaning} |"
        for code in ErrorCode
    ]
    return ERRORS_HEAD + "\n".join(rows) + "\n" + RETRIES + _retried_codes()


def reasons() -> str:
    """The text of `docs/reasons.md`."""
    rows = []
    for reason, words in WORDS.items():
        rows += [f"| `{reason}` | {_by(by)} | {meaning} |" for by, meaning in words.items()]
    return REASONS_HEAD + "\n".join(rows) + "\n"


def _by(word: str) -> str:
    return word if word in ("", PLUGIN) else f"`{word}`"


def _retried_codes() -> str:
    rows = [f"| {code} | {meaning.text} |" for code, meaning in sorted(CODES.items()) if meaning.retryable]
    return "\n".join([*rows, "| none | the connection was refused |"]) + "\n"


def speech() -> str:
    """The text of `docs/speech.md`."""
    parts = [
        SPEECH_HEAD.replace("FIELDS", "".join(map(_field_row, FIELDS))),
        "| `response_format` | media type | provider's format | Hz | bit/s | with `stream` |\n",
    ]
    parts.append("|---|---|---|---|---|---|\n")
    for name, each in FORMATS.items():
        setting = each.audio_setting
        default = " (default)" if name == DEFAULT_FORMAT else ""
        parts.append(
            f"| `{name}`{default} | {each.content_type} | {setting['format']} | {setting['sample_rate']} "
            f"| {setting.get('bitrate', '')} | {'yes' if each.streams else 'no'} |\n"
        )
    parts.append(_provider_formats())
    parts.append("\nThe provider's failures; those marked so are logged as `provider_operator_fault`.\n\n")
    parts.append("| provider's code | what it means | the client gets |\n|---|---|---|\n")
    for code, meaning in sorted(CODES.items()):
        error = refusal_of(as_said_of_speech(Answer(meaning=meaning, code=code)))
        paged = " (pages the operator)" if meaning.fault is Fault.OPERATOR else ""
        parts.append(f"| {code} | {meaning.text}{paged} | {error.code.status} `{error.code.code}` |\n")
    parts.append("| any other | not documented | 502 `provider_error` |\n\n")
    parts.append("A 2013 about the voice is 404 `voice_not_found`; one about the model pages and is 502.\n")
    return "".join(parts)


def _provider_formats() -> str:
    settings = ", ".join(f"`voice_settings.{name}`" for name in NO_MEANING_HERE)
    return (
        "\nInstead of `response_format` a request may have the provider's own `audio_setting`: `format` (one of "
        f"{', '.join(PROVIDER_FORMATS)}; mp3 if it is left out), `sample_rate`, `bitrate` (mp3 alone) and `channel`. "
        "What the provider does not make is 400: `aac`, `mp3_44100_192`, another rate. So are fields that mean nothing "
        f"to its voices: {settings}.\n"
    )


def _field_row(field: Field) -> str:
    first, *others = (f"`{place.path}`" for place in field.places)
    also = f" (or {', '.join(others)})" if others else ""
    where = f"voice_setting.{field.provider_name}" if field.in_voice_setting else field.provider_name
    return f"| {first}{also} | {field.words}; becomes `{where}` |\n"


def _table(title: str, model: type[BaseModel]) -> str:
    rows = [f"## {title}", "", "| field | type | default | what it is |", "|---|---|---|---|"]
    rows.extend(
        f"| `{name}` | {_type(name, field)} | {_default(name, field)} | {field.description} |"
        for name, field in model.model_fields.items()
    )
    return "\n".join(rows) + "\n"


def _type(name: str, field: FieldInfo) -> str:
    if name.endswith(PRICE_SUFFIX):
        return "decimal string"
    names = dict.fromkeys(_names(field.annotation))
    return " or ".join(names) or "text"


def _names(annotation: Any) -> Iterator[str]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _names(part)
    elif origin is typing.Literal:
        yield from (f"`{value}`" for value in typing.get_args(annotation))
    elif origin is typing.Annotated:
        yield from _names(typing.get_args(annotation)[0])
    elif origin in (tuple, list):
        yield "list"
    elif annotation in (bool, int, float):
        yield {bool: "true or false", int: "integer", float: "number"}[annotation]
    elif annotation in (str, Path):
        yield "text"
    elif annotation is SecretStr:
        yield "secret"
    elif annotation is not type(None):
        yield "HOST:PORT" if annotation is HostPort else "mapping, below" if annotation in _BELOW else "mapping"


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if name.endswith(PRICE_SUFFIX):
        return f'`"{format_usd(value)}"`'
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    return "`{}`" if value == {} else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    (DOCS / "configuration.md").write_text(configuration(), encoding="utf-8")
    (DOCS / "errors.md").write_text(errors(), encoding="utf-8")
    (DOCS / "reasons.md").write_text(reasons(), encoding="utf-8")
    (DOCS / "speech.md").write_text(speech(), encoding="utf-8")
