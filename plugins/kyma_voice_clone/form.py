"""Receiving the clone form: multipart/form-data (RFC 7578) with the recording, a name and a model."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from kyma_proxy.api import ErrorCode, Flow, GatewayError
from kyma_voice_clone.upload import Upload

__all__ = ["CloneForm", "FormRules", "Upload", "receive_form"]

PARTS_MAX: Final = 256
PART_HEADERS_MAX: Final = 64
PART_HEADER_BYTES_MAX: Final = 8 * 1024
TEXT_BYTES_MAX: Final = 8 * 1024
BOUNDARY_CHARS_MAX: Final = 70
"""RFC 2046 section 5.1.1."""
_TEXT_FIELDS: Final = ("name", "model")
_UTF8: Final = ("utf-8", "utf8", "us-ascii", "ascii")
_PLAIN_ENCODINGS: Final = ("", "binary", "7bit", "8bit")


@dataclass(frozen=True, slots=True)
class CloneForm:
    """The form as received; whoever holds it closes the upload.

    A blank `name` is None, else it is as sent. `model` is one of the accepted ones, the first where none was named.
    """

    upload: Upload
    name: str | None
    model: str


@dataclass(frozen=True, slots=True)
class FormRules:
    """What a form may hold."""

    max_file_bytes: int
    max_name_chars: int
    models: tuple[str, ...]


def too_large(max_file_bytes: int) -> GatewayError:
    """The refusal of a recording of more than `max_file_bytes`."""
    return GatewayError(
        ErrorCode.TOO_LARGE, f"`file` is too large. Send a recording of at most {max_file_bytes} bytes."
    )


def empty() -> GatewayError:
    """The refusal of a recording without a byte."""
    return GatewayError(ErrorCode.INVALID_REQUEST, "`file` is empty. Send a recording.")


async def receive_form(flow: Flow, rules: FormRules) -> CloneForm:
    """Read the request's body to its end as a form.

    `file` may come with or without a file name; unknown fields are skipped. Raises GatewayError INVALID_REQUEST for
    what is not such a form, NOT_A_VOICE_CLONE_MODEL, TOO_LARGE as soon as the file passes its bound (a bad name or
    model that came before it is told first: contract section 4, "Order"), and whatever reading the body raises;
    everything taken is released then.
    """
    parser = PushMultipartParser(
        _boundary(flow),
        max_header_size=PART_HEADER_BYTES_MAX,
        max_header_count=PART_HEADERS_MAX,
        max_segment_count=PARTS_MAX,
    )
    upload = Upload(rules.max_file_bytes)
    try:
        fields = _Fields(upload, rules)
        async for chunk in flow.body:
            if chunk:
                _feed(parser, chunk, fields)
        _finish(parser)
        fields.check_file()
        return CloneForm(upload, fields.name(), fields.model())
    except BaseException:
        upload.close()
        raise


def _feed(parser: PushMultipartParser, chunk: bytes, fields: _Fields) -> None:
    try:
        for event in parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                fields.begin(event)
            elif event:
                fields.add(event)
    except MultipartError as error:
        raise _broken(error) from error


def _finish(parser: PushMultipartParser) -> None:
    try:
        parser.close()
    except MultipartError as error:
        raise _broken(error) from error


class _Fields:
    """The parts of a form as they come in: the file into its upload, `name` and `model` into memory, others nowhere."""

    def __init__(self, upload: Upload, rules: FormRules) -> None:
        self._upload = upload
        self._rules = rules
        self._texts: dict[str, bytearray] = {}
        self._has_file = False
        self._current = ""

    def begin(self, part: MultipartSegment) -> None:
        """A part's header is complete. Refuses a field that is sent twice: nobody can say which one is meant."""
        self._current = part.name
        if part.name != "file" and part.name not in _TEXT_FIELDS:
            return
        if (self._has_file and part.name == "file") or part.name in self._texts:
            raise _invalid(f"The form has `{part.name}` twice. Send it once.")
        encoding = (part.header("Content-Transfer-Encoding") or "").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise _invalid(f"`{part.name}` has a Content-Transfer-Encoding. Send it as it is, without one.")
        if part.name == "file":
            self._has_file = True
            return
        if (part.charset or "utf-8").lower() not in _UTF8:
            raise _invalid(f"`{part.name}` is not declared as UTF-8. Send it as UTF-8.")
        self._texts[part.name] = bytearray()

    def add(self, piece: bytes) -> None:
        """Content of the part that began last."""
        if self._current == "file":
            if not self._upload.append(piece):
                self.name()
                self.model()
                raise too_large(self._rules.max_file_bytes)
        elif self._current in self._texts:
            text = self._texts[self._current]
            text += piece
            if len(text) > TEXT_BYTES_MAX:
                raise _invalid(f"`{self._current}` is too long.")

    def check_file(self) -> None:
        """Refuse a form without a file, or with nothing in it."""
        if not self._has_file:
            raise _invalid("`file` is missing. Send the recording as a form field named `file`.")
        if not self._upload.size:
            raise empty()

    def name(self) -> str | None:
        """The name as sent, None where it is blank or was not sent (so far)."""
        return _name(self._text("name"), self._rules.max_name_chars)

    def model(self) -> str:
        """The model that was named (so far), or the default."""
        model = self._text("model") or self._rules.models[0]
        if model not in self._rules.models:
            raise GatewayError(
                ErrorCode.NOT_A_VOICE_CLONE_MODEL,
                f"This model does not clone voices. Leave `model` out, or send {self._rules.models[0]!r}.",
            )
        return model

    def _text(self, name: str) -> str | None:
        if name not in self._texts:
            return None
        try:
            return self._texts[name].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _invalid(f"`{name}` is not valid UTF-8.") from error


def _boundary(flow: Flow) -> str:
    """The boundary that the request's head announces. Refuses what is not an unencoded multipart form."""
    declared = flow.headers.getall("Content-Type", [])
    media_type, options = parse_options_header(declared[0] if len(declared) == 1 else "")
    if media_type != "multipart/form-data":
        raise _invalid("Send the recording as multipart/form-data, with the file in a field named `file`.")
    if flow.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise _invalid("Send the form without a Content-Encoding.")
    if options.get("charset", "utf-8").lower() not in _UTF8:
        raise _invalid("Send the form as UTF-8.")
    boundary: str = options.get("boundary", "")
    if not 1 <= len(boundary) <= BOUNDARY_CHARS_MAX or not boundary.isascii() or not boundary.isprintable():
        raise _invalid("The Content-Type needs a `boundary` of 1 to 70 printable ASCII characters.")
    return boundary


def _name(text: str | None, max_chars: int) -> str | None:
    if text is None or not text.strip():
        return None
    if len(text) > max_chars:
        raise _invalid(f"`name` has {len(text)} characters. Send at most {max_chars}.")
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise _invalid("`name` has a control character in it. Send plain text.")
    return text


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _broken(error: MultipartError) -> GatewayError:
    if isinstance(error, ParserLimitReached):
        return _invalid(f"The form is over a limit: at most {PARTS_MAX} parts, each with a short header.")
    return _invalid(f"The form cannot be read ({error.args[0]}). Send well-formed multipart/form-data.")
