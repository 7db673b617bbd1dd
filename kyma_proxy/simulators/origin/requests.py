"""Reads an HTTP request within bounds: every byte is hashed, a form's file is counted and thrown away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from kyma_proxy.simulators.origin.replies import RefusalError, invalid
from kyma_proxy.simulators.origin.state import Call

FILE_BYTES_MAX = 25 * 1024 * 1024
BODY_BYTES_MAX = FILE_BYTES_MAX + 1024 * 1024
JSON_BYTES_MAX = 1024 * 1024
_FIELD_BYTES_MAX = 64 * 1024
_HEAD_BYTES_KEPT = 4096
_PARTS_MAX = 20
_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Upload:
    """The file of a form: how it begins and how many bytes it has."""

    head: bytearray = field(default_factory=bytearray)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """What a request asks: the values of its JSON object or the texts of its form."""

    key: str
    query: Mapping[str, str]
    fields: Mapping[str, Any]
    upload: Upload | None = None

    def text(self, *names: str) -> str | None:
        """The value under the first of these names that is there. Raises RefusalError 400 if it is no text."""
        value = next((self.fields[name] for name in names if self.fields.get(name) is not None), None)
        if value is not None and not isinstance(value, str):
            raise invalid(f"{names[0]} must be a string.")
        return value

    def number(self, *names: str) -> float | None:
        """Likewise a number; in a form it is written as text."""
        value = next((self.fields[name] for name in names if self.fields.get(name) is not None), None)
        if self.upload is not None and isinstance(value, str):
            return _parsed(names[0], value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise invalid(f"{names[0]} must be a number.")
        return value


Content = tuple[Mapping[str, Any], Upload | None]
"""The fields of a body, and the file if it is a form that has one."""


async def read_body(request: web.Request, call: Call) -> Content:
    """The fields of the body and its file, noted in the call as they come in.

    Raises RefusalError: 413 for a file over 25 MiB, JSON over 1 MiB or a body over 26 MiB, whose rest is not read; 400
    for a broken form or a body that is no JSON object. Nothing at all is an empty object.
    """
    media_type, options = parse_options_header(request.headers.get("Content-Type", ""))
    reader: _FormReader | _JsonReader = _JsonReader()
    if media_type == "multipart/form-data":
        reader = _FormReader(options.get("boundary", ""))
    digest = hashlib.sha256()
    async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
        digest.update(chunk)
        call.body_bytes += len(chunk)
        if call.body_bytes > BODY_BYTES_MAX:
            raise RefusalError("too_large")
        reader.feed(chunk)
    call.body_sha256 = digest.hexdigest()
    call.form_fields = reader.names
    return reader.finish()


class _JsonReader:
    def __init__(self) -> None:
        self.names: list[str] = []
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        if len(self._body) <= JSON_BYTES_MAX:
            self._body += chunk

    def finish(self) -> tuple[Mapping[str, Any], None]:
        if len(self._body) > JSON_BYTES_MAX:
            raise RefusalError("too_large")
        try:
            value = json.loads(self._body or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise invalid("The body must be a JSON object.")
        return value, None


class _FormReader:
    """Keeps what is wrong until the end, so that the whole body is hashed first."""

    def __init__(self, boundary: str) -> None:
        self.names: list[str] = []
        self._texts: dict[str, bytearray] = {}
        self._upload: Upload | None = None
        self._target: bytearray | Upload | None = None
        self._error: RefusalError | None = None
        self._parser: PushMultipartParser | None = None
        try:
            self._parser = PushMultipartParser(boundary, max_segment_count=_PARTS_MAX)
        except MultipartError as error:
            self._error = _broken(error)

    def feed(self, chunk: bytes) -> None:
        if self._error is not None or self._parser is None:
            return
        try:
            for event in self._parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event:
                    self._add(event)
        except MultipartError as error:
            self._error = _broken(error)

    def finish(self) -> tuple[Mapping[str, Any], Upload | None]:
        if self._error is not None or self._parser is None:
            raise self._error or invalid("The form has no boundary.")
        try:
            self._parser.close()
        except MultipartError as error:
            raise _broken(error) from error
        if self._upload is not None and self._upload.size > FILE_BYTES_MAX:
            raise RefusalError("too_large", "The file is over 25 MB.")
        return {name: text.decode("utf-8", "replace") for name, text in self._texts.items()}, self._upload

    def _begin(self, part: MultipartSegment) -> None:
        self.names.append(part.name)
        if part.name == "file" and part.filename is not None:
            self._target = self._upload = Upload()
        else:
            self._target = self._texts[part.name] = bytearray()

    def _add(self, piece: bytes) -> None:
        if isinstance(self._target, Upload):
            self._target.size += len(piece)
            self._target.head += piece[: max(0, _HEAD_BYTES_KEPT - len(self._target.head))]
        elif self._target is not None:
            self._target += piece[: max(0, _FIELD_BYTES_MAX - len(self._target))]


def _broken(error: MultipartError) -> RefusalError:
    return invalid(f"The form cannot be read: {error.args[0]}.")


def _parsed(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise invalid(f"{name} must be a number.") from error
