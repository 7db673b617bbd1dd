"""What the text of one YAML scalar means: references to the environment, then its type."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_REFERENCE = re.compile(
    r"(?P<literal>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{)"
)
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Expansion:
    """A scalar's text with its references replaced. The text may be a secret, so it stays out of `repr`."""

    text: str
    has_reference: bool
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Expansion(has_reference={self.has_reference}, problems={self.problems})"


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Replace `${NAME}` and `${NAME:-default}`, once: what comes in is not looked at again.

    As in a shell, `:-` also stands in for a variable that is set but empty. `$${` gives a literal `${`; any other
    dollar stays as it is. An unset variable without default and a reference that is not well formed are problems.
    """
    has_reference = False
    problems: list[str] = []

    def replace(match: re.Match[str]) -> str:
        nonlocal has_reference
        name, default = match["name"], match["default"]
        if match["literal"]:
            return "${"
        if match["broken"]:
            problems.append("a reference must be ${NAME} or ${NAME:-default}; write $${ for a literal ${")
            return ""
        has_reference = True
        if default is not None:
            if "${" in default:
                problems.append(f"the default of ${{{name}}} cannot hold another reference")
            return environ.get(name) or default
        if name not in environ:
            problems.append(f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}")
        return environ.get(name, "")

    expanded = _REFERENCE.sub(replace, text)
    return Expansion(expanded, has_reference, tuple(problems))


def resolve_plain(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar, by the core schema of YAML 1.2, decimal and finite numbers only.

    So `no`, `on`, `12:30` and `0x10` are text, unlike in YAML 1.1.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
