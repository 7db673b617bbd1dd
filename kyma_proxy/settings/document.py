"""A YAML file as plain values with positions: bounded, strict, and with its references to the environment replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from yaml.reader import ReaderError

from kyma_proxy.settings.problems import ConfigError, Problem, quoted
from kyma_proxy.settings.scalars import expand, resolve_plain
from kyma_proxy.settings.source import KeyPath, Position, SourceMap

FILE_BYTES_MAX = 1024 * 1024
NODES_MAX = 10_000
DEPTH_MAX = 50


@dataclass(frozen=True)
class Document:
    """What a file says. `value` is made of dict (keys are text), list, str, int, float, bool and None.

    `findings` are problems with the path they belong to; the values of `broken` paths could not be made and are None.
    `plain_texts` keeps the text of unquoted references that look like something else than text: a key made of digits
    is still a key. Values may be secrets, so they stay out of `repr`.
    """

    value: object = field(repr=False)
    source: SourceMap
    findings: tuple[tuple[KeyPath, Problem], ...] = ()
    broken: frozenset[KeyPath] = frozenset()
    plain_texts: Mapping[KeyPath, str] = field(default_factory=dict, repr=False)


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """Read a YAML file of at most 1 MiB. Raises ConfigError when it is not to be had or not one YAML document."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable file name"
        raise ConfigError([Problem(file, 1, 1, f"cannot be read: {reason}")]) from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError([Problem(file, 1, 1, f"is larger than {FILE_BYTES_MAX} bytes")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Problem(file, 1, 1, "is not UTF-8 text")]) from None
    return parse_document(text, file, environ)


def parse_document(text: str, file: str, environ: Mapping[str, str]) -> Document:
    """Parse YAML text. Raises ConfigError for what is not one YAML document within the bounds; never anything else.

    References are replaced after parsing, so what stands in a variable cannot change the structure.
    """
    node, tagged = _compose(text, file)
    builder = _Builder(file, environ, tagged)
    value = builder.build(node, ()) if node is not None else None
    source = SourceMap(
        file,
        MappingProxyType(builder.keys),
        MappingProxyType(builder.values),
        frozenset(builder.from_environment),
    )
    broken = frozenset(builder.broken)
    return Document(value, source, tuple(builder.findings), broken, builder.plain_texts)


def _compose(text: str, file: str) -> tuple[yaml.Node | None, frozenset[int]]:
    """The tree of nodes, and the ids of those that carry a tag."""
    loader: _BoundedLoader | None = None
    try:
        loader = _BoundedLoader(text)
        node = loader.get_single_node()
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        problem = Problem(file, line, column, "not valid YAML: a control character is not allowed here")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(f"not valid YAML: {error.problem or error.context}".split())
        if mark is not None and text[mark.index - 1 : mark.index + 1] == "${":
            message += "; inside [ ] and { } a reference must stand in quotes"
        problem = Problem(file, *_position(mark), message)
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML lets through what chr() and int() say of an escape or a version that is out of range.
        mark = loader.get_mark() if loader is not None else None
        problem = Problem(file, *_position(mark), "not valid YAML: an escape or a directive is out of range")
    else:
        return node, frozenset(loader.tagged)
    finally:
        if loader is not None:
            loader.dispose()
    raise ConfigError([problem])


def _position(mark: yaml.Mark | None) -> Position:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


class _BoundedLoader(yaml.SafeLoader):
    """Composes nodes, and counts them as if every alias were written out: a bomb is refused before it is built."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tagged: set[int] = set()
        self._depth = 0
        self._expanded_nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._expanded_nodes
        self._depth += 1
        self._expanded_nodes += self._size_of_alias(event) if isinstance(event, yaml.AliasEvent) else 1
        self._bound(event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.NodeEvent) and not isinstance(event, yaml.AliasEvent):
            if event.anchor is not None:
                self._sizes[event.anchor] = self._expanded_nodes - before
            if getattr(event, "tag", None) is not None:
                self.tagged.add(id(node))
        return node

    def _size_of_alias(self, event: yaml.AliasEvent) -> int:
        anchor = event.anchor or ""
        if anchor in self.anchors and anchor not in self._sizes:
            raise _refused("an alias refers to what it stands in", event)
        return self._sizes.get(anchor, 1)

    def _bound(self, event: yaml.Event) -> None:
        if self._depth > DEPTH_MAX:
            raise _refused(f"nested deeper than {DEPTH_MAX} levels", event)
        if self._expanded_nodes > NODES_MAX:
            raise _refused(f"more than {NODES_MAX} values, aliases written out", event)


def _refused(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # PyYAML's own Mark or, in its C build, a twin of it
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Builder:
    """Turns nodes into values and notes where each stands."""

    def __init__(self, file: str, environ: Mapping[str, str], tagged: frozenset[int]) -> None:
        self.file = file
        self.environ = environ
        self.tagged = tagged
        self.keys: dict[KeyPath, Position] = {}
        self.values: dict[KeyPath, Position] = {}
        self.from_environment: set[KeyPath] = set()
        self.findings: list[tuple[KeyPath, Problem]] = []
        self.broken: set[KeyPath] = set()
        self.plain_texts: dict[KeyPath, str] = {}

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        self.values[path] = _position(node.start_mark)
        if id(node) in self.tagged:
            self._refuse(path, node, "tags are not supported: leave it out, and put text in quotes")
            return None
        if len(path) > DEPTH_MAX:  # aliases can nest deeper than what is written
            self._refuse(path, node, f"nested deeper than {DEPTH_MAX} levels")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            key_path = (*path, key)
            if key in mapping:
                first_line = self.keys[key_path][0]
                self._find(key_path, key_node, f"duplicate key {quoted(key)}: it stands in line {first_line} already")
                continue
            self.keys[key_path] = _position(key_node.start_mark)
            mapping[key] = self.build(value_node, key_path)
        return mapping

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        """The text of a key; None, and a finding, for anything else."""
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if plain and node.value == "<<":
            self._find(path, node, "merge keys (<<) are not supported: write the keys out")
        elif id(node) in self.tagged:
            self._find(path, node, "tags are not supported: leave it out, and put text in quotes")
        elif not isinstance(node, yaml.ScalarNode) or (plain and not isinstance(resolve_plain(node.value), str)):
            self._find(path, node, "a key must be text: put it in quotes")
        elif not _is_unicode(node.value):
            self._find(path, node, "half a surrogate pair is not text")
        else:
            return str(node.value)
        return None

    def _scalar(self, node: yaml.Node, path: KeyPath) -> str | int | float | bool | None:
        expansion = expand(str(node.value), self.environ)
        if expansion.has_reference:
            self.from_environment.add(path)
        for message in expansion.problems:
            self._refuse(path, node, message)
        if not expansion.problems and not _is_unicode(expansion.text):
            self._refuse(path, node, "is not text in Unicode")
        if path in self.broken:
            return None
        if getattr(node, "style", None) is not None:
            return expansion.text
        return self._plain(expansion.text, path, expanded=expansion.has_reference)

    def _plain(self, text: str, path: KeyPath, *, expanded: bool) -> str | int | float | bool | None:
        if expanded and not text:
            return ""
        value = resolve_plain(text)
        if expanded and not isinstance(value, str):
            self.plain_texts[path] = text
        return value

    def _find(self, path: KeyPath, node: yaml.Node, message: str) -> None:
        self.findings.append((path, Problem(self.file, *_position(node.start_mark), message)))

    def _refuse(self, path: KeyPath, node: yaml.Node, message: str) -> None:
        self.broken.add(path)
        self._find(path, node, message)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
