"""What is wrong with a configuration, and where; words for a name that is not known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

NAME_CHARS_MAX = 60
LISTED_NAMES_MAX = 20


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault at one place. `line` and `column` count from 1; `message` is one line and holds no secret."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds every fault that was found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def quoted(name: str) -> str:
    """A name in double quotes on one line, cut when long."""
    return json.dumps(name if len(name) <= NAME_CHARS_MAX else name[:NAME_CHARS_MAX] + "…", ensure_ascii=False)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Says that `name` is no `what`, with the nearest known name, or else with the known ones if they are few."""
    names = sorted(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    near = get_close_matches(name.casefold(), folded, n=1)
    if near:
        return f"unknown {what} {quoted(name)}; did you mean {quoted(folded[near[0]])}?"
    if len(names) > LISTED_NAMES_MAX:
        return f"unknown {what} {quoted(name)}"
    known_names = ", ".join(quoted(candidate) for candidate in names)
    return f"unknown {what} {quoted(name)}; known: {known_names or 'none'}"
