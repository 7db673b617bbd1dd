"""What exists is documented and tested: plugins, settings, error codes, commands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import click
from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the error table: the enum member's name, the HTTP status, the code a client reads."""

    member: str
    status: int
    code: str


def code_in(markdown: str) -> str:
    """What a Markdown text sets as code: each inline span and each line of a fenced block on a line of its own."""
    parts: list[str] = []
    fenced = False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            parts.append(line)
        else:
            parts += re.findall(r"`([^`]+)`", line)
    return "\n".join(parts)


def undocumented_plugins(entry_points: Mapping[str, str], texts: Mapping[str, str]) -> list[str]:
    """Findings for plugins without a README of their own or without a word in the README.

    `entry_points` maps a plugin's name to `package.module:Class`.
    """
    findings = []
    for name, target in entry_points.items():
        readme = f"plugins/{target.split('.', maxsplit=1)[0]}/README.md"
        if readme not in texts:
            findings.append(f"{readme}:1: is missing; say what {name} does, its config, its errors")
        if not re.search(rf"\b{name}\b", code_in(texts.get("README.md", ""))):
            findings.append(f"README.md:1: name the plugin `{name}`")
    return findings


def config_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and every model its fields hold, inside containers and unions too."""
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        yield current
        waiting += [inner for field in current.model_fields.values() for inner in _models_in(field.annotation)]


def undescribed_fields(models: Iterable[type[BaseModel]]) -> list[str]:
    """Findings for config fields without a description."""
    return [
        f"{model.__module__}.{model.__qualname__}.{name}: give the field a description"
        for model in models
        for name, field in model.model_fields.items()
        if not field.description
    ]


def unmentioned_fields(models: Iterable[type[BaseModel]], docs: str, where: str) -> list[str]:
    """Findings for config fields that the documentation `docs`, the file `where`, does not set as code.

    A field that is excluded from a dump is the program's own and no key of the file.
    """
    code = code_in(docs)
    return [
        f"{where}:1: name the field `{name}` of {model.__qualname__}"
        for model in models
        for name, field in model.model_fields.items()
        if not field.exclude and not re.search(rf"(?<![\w-]){name}(?![\w-])", code)
    ]


def undocumented_refusals(refusals: Iterable[Refusal], docs: str) -> list[str]:
    """Findings for errors that no line of the documentation names with status and `code`."""
    lines = docs.splitlines()
    return [
        f"README.md:1: no line documents {refusal.status} `{refusal.code}` ({refusal.member})"
        for refusal in refusals
        if not any(f"`{refusal.code}`" in line and re.search(rf"\b{refusal.status}\b", line) for line in lines)
    ]


def unprovoked_refusals(refusals: list[Refusal], tests: str) -> list[str]:
    """Findings for errors no test provokes: neither its member nor its code stands there.

    A code that several members share counts only next to the member's own status.
    """
    codes = [refusal.code for refusal in refusals]
    findings = []
    for refusal in refusals:
        code = rf"[\"'`]{refusal.code}[\"'`]"
        if codes.count(refusal.code) > 1:
            code = rf"\b{refusal.status}\b.*{code}|{code}.*\b{refusal.status}\b"
        if not re.search(rf"\b{refusal.member}\b|{code}", tests):
            findings.append(f"tests:1: no test provokes {refusal.status} {refusal.code} (ErrorCode.{refusal.member})")
    return findings


def command_paths(command: click.Command, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command of a click group, `("accounts", "create")`, groups themselves left out."""
    if not isinstance(command, click.Group):
        yield prefix
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None:
            yield from command_paths(child, (*prefix, name))


def undocumented_commands(paths: Iterable[tuple[str, ...]], docs: str) -> list[str]:
    """Findings for commands that the documentation does not set as code, with or without `kyma-proxy` before them."""
    code = code_in(docs)
    return [
        f"README.md:1: show the command `kyma-proxy {' '.join(path)}`"
        for path in paths
        if not re.search(rf"^(?:.*\bkyma-proxy)?\s*{' '.join(path)}\b", code, re.MULTILINE)
    ]


def untested_commands(paths: Iterable[tuple[str, ...]], tests: str) -> list[str]:
    """Findings for commands whose words no test gives to the command line, as one text or as a list of texts."""
    findings = []
    for path in paths:
        words = r"(?:[\"'],\s*[\"']|\s)".join(map(re.escape, path))
        if not re.search(rf"(?:[\"']|kyma-proxy ){words}(?:[\"']|\s)", tests):
            findings.append(f"tests:1: no test runs kyma-proxy {' '.join(path)}")
    return findings


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument)
