"""Pydantic's findings as problems of the file: our own words, positions, and never a value that may be a secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from kyma_proxy.settings.document import Document
from kyma_proxy.settings.problems import ConfigError, quoted, unknown
from kyma_proxy.settings.source import KeyPath

ModelT = TypeVar("ModelT", bound=BaseModel)

_EXPECTED = {
    **dict.fromkeys(("string_type", "path_type"), "text"),
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), "a mapping"
    ),
}
_BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "finite_number": "must be a finite number",
}


class Report:
    """Collects the problems of one document, so that one broken section does not hide those of another."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._problems = {problem for _, problem in document.findings}

    def add(self, path: KeyPath, message: str, *, at: Literal["key", "value"] = "value") -> None:
        """Note a problem, unless the value there could not be made at all: that has been said already."""
        if not any(path[: len(broken)] == broken for broken in self.document.broken):
            self._problems.add(self.document.source.problem(path, message, at=at))

    def unknown(self, path: KeyPath, what: str, name: str, known: Iterable[str]) -> None:
        """Note a value that is not among the known names; one that came from the environment is not repeated."""
        if self.document.source.hides(path):
            self.add(path, f"unknown {what}; its name comes from the environment and is not shown")
        else:
            self.add(path, unknown(what, name, known))

    def raise_if_any(self) -> None:
        """Raises ConfigError with everything noted so far, in the order of the file."""
        if self._problems:
            raise ConfigError(sorted(self._problems))


def validate(
    model: type[ModelT], path: KeyPath, value: object, report: Report, *, own_words: bool = True
) -> ModelT | None:
    """An instance of `model` from the document's value at `path`, or None and its problems in the report.

    `own_words` says that the model's validators are ours and never repeat a value. YAML's values are JSON's, so
    pydantic's strict JSON mode decides: lists make tuples, text makes paths, and no number is made of text.
    """
    instance, errors = _attempt(model, value)
    if instance is None:
        instance, errors = _attempt(model, _with_texts(value, path, errors, report.document))
    for error in errors:
        _report(model, path, error, report, own_words)
    return instance


def _attempt(model: type[ModelT], value: object) -> tuple[ModelT | None, list[ErrorDetails]]:
    try:
        return model.model_validate_json(json.dumps(value)), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _with_texts(value: object, path: KeyPath, errors: list[ErrorDetails], document: Document) -> object:
    """The value once more, with the text of a reference wherever text was wanted and it had looked like a number."""
    texts = {
        found: document.plain_texts[found]
        for error in errors
        if error["type"] in ("string_type", "path_type")
        and (found := _known_path(path, error["loc"], document)) in document.plain_texts
    }

    def replaced(part: object, at: KeyPath) -> object:
        if isinstance(part, dict):
            return {key: replaced(item, (*at, key)) for key, item in part.items()}
        if isinstance(part, list):
            return [replaced(item, (*at, index)) for index, item in enumerate(part)]
        return texts.get(at, part)

    return replaced(value, path)


def _known_path(base: KeyPath, loc: KeyPath, document: Document) -> KeyPath:
    """`loc` as a path of the file: what pydantic adds for the members of a union is in no file."""
    path = base
    for part in loc:
        if (*path, part) in document.source.values:
            path = (*path, part)
    return path


def _report(model: type[BaseModel], base: KeyPath, error: ErrorDetails, report: Report, own_words: bool) -> None:
    loc = error["loc"]
    path = _known_path(base, loc, report.document)
    if error["type"] == "missing":
        report.add(path, f"missing key {quoted(str(loc[-1]))}", at="key")
    elif error["type"] == "extra_forbidden":
        known = [name for owner in _models_in(_annotation_at(model, loc[:-1])) for name in _field_names(owner)]
        report.add(path, unknown("key", str(loc[-1]), known), at="key")
    elif (message := _builtin_message(error, _value_at(report.document, path))) is not None:
        report.add(path, message)
    elif not any(broken[: len(path)] == path for broken in report.document.broken):
        shown = own_words or not (report.document.source.hides(path) or _holds_secret(_annotation_at(model, loc)))
        report.add(
            path, _custom_message(error) if shown else "is not valid; its value may be a secret and is not shown"
        )


def _builtin_message(error: ErrorDetails, value: object) -> str | None:
    """Our words for what pydantic itself checks; they tell the rule and the kind of the value, never the value."""
    kind = error["type"]
    if kind in _EXPECTED:
        hint = ": put it in quotes" if _EXPECTED[kind] == "text" and isinstance(value, bool | int | float) else ""
        return f"must be {_EXPECTED[kind]}, not {_kind(value)}{hint}"
    if kind == "string_too_short" and error["ctx"]["min_length"] == 1:
        return "must not be empty"
    return _BOUNDS[kind].format(**error.get("ctx", {})) if kind in _BOUNDS else None


def _kind(value: object) -> str:
    for kinds, word in (
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (list, "a list"),
        (dict, "a mapping"),
    ):
        if isinstance(value, kinds):
            return word
    return "nothing"


def _custom_message(error: ErrorDetails) -> str:
    cause = error.get("ctx", {}).get("error")
    return " ".join(str(cause if isinstance(cause, Exception) else error["msg"]).split())


def _value_at(document: Document, path: KeyPath) -> object:
    value: Any = document.value
    for part in path:
        value = value[part]
    return value


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _field_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _annotation_at(model: type[BaseModel], loc: KeyPath) -> object:
    """The type of what `loc` leads to; list indexes, mapping keys and members of a union stay within one type."""
    annotation: object = model
    for part in loc:
        for owner in _models_in(annotation):
            fields = {field.alias or name: field for name, field in owner.model_fields.items()}
            if part in fields:
                annotation = fields[str(part)].annotation
                break
    return annotation


def _holds_secret(annotation: object) -> bool:
    if isinstance(annotation, type):
        if issubclass(annotation, SecretStr | SecretBytes):
            return True
        if issubclass(annotation, BaseModel):
            return any(_holds_secret(field.annotation) for field in annotation.model_fields.values())
    return any(_holds_secret(part) for part in get_args(annotation))
