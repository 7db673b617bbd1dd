from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.api import ErrorCode, Flow, GatewayError
from kyma_proxy.testing.flows import make_flow
from kyma_voice_clone import form as form_module
from kyma_voice_clone.form import CloneForm, FormRules, Upload, receive_form

BOUNDARY = "----boundary42"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FILE_MAX = 100_000
MODELS = ("minimax-voice-clone", "another-model")


class Chunks:
    """A request body in pieces of a given size; counts how many were asked for."""

    content_length = None

    def __init__(self, data: bytes, chunk_bytes: int, error: Exception | None = None) -> None:
        self._data, self._chunk_bytes, self._error = data, chunk_bytes, error
        self.given = 0

    def narrow(self, max_bytes: int) -> None:
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), self._chunk_bytes):
            self.given += 1
            yield self._data[start : start + self._chunk_bytes]
        if self._error:
            raise self._error


def part(name: str, content: bytes, *headers: str, filename: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    head = "\r\n".join([f"--{BOUNDARY}", disposition, *headers, "", ""])
    return head.encode() + content + b"\r\n"


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FILE = part("file", b"RIFF\r\n--\r\n----bound\0\xff" * 20, "Content-Type: application/octet-stream", filename="a.mp3")
FILE_BYTES = b"RIFF\r\n--\r\n----bound\0\xff" * 20


def flow_of(body: bytes, content_type: str | None = FORM_TYPE, chunk_bytes: int = 65_536, **more: str) -> Flow:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if content_type is not None:
        headers["Content-Type"] = content_type
    flow = make_flow(headers=headers)
    flow.body = Chunks(body, chunk_bytes)
    return flow


async def receive(flow: Flow) -> CloneForm:
    return await receive_form(flow, FormRules(FILE_MAX, 64, MODELS))


async def refused(flow: Flow) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await receive(flow)
    return caught.value


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 64, 1000, 65_536])
async def test_reads_a_form_however_it_is_cut_into_chunks(chunk_bytes: int) -> None:
    body = whole(part("model", b"minimax-voice-clone"), FILE, part("name", "Zoë 🎙".encode()))
    form = await receive(flow_of(body, chunk_bytes=chunk_bytes))
    with form.upload:
        assert bytes(form.upload.view()) == FILE_BYTES
        assert (form.name, form.model) == ("Zoë 🎙", "minimax-voice-clone")


async def test_only_the_file_is_needed() -> None:
    form = await receive(flow_of(whole(FILE)))
    with form.upload:
        assert (form.name, form.model, form.upload.size) == (None, MODELS[0], len(FILE_BYTES))


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\r\nepilogue"])
async def test_what_follows_the_closing_boundary_is_ignored(ending: bytes) -> None:
    body = b"preamble\r\n" + whole(FILE).removesuffix(b"\r\n") + ending
    form = await receive(flow_of(body, chunk_bytes=16))
    with form.upload:
        assert form.upload.size == len(FILE_BYTES)


async def test_unknown_fields_are_skipped_whatever_their_size() -> None:
    body = whole(part("language", b"x" * 500_000), FILE, part("language", b"\xff\0"), part("File", b"no"))
    form = await receive(flow_of(body))
    with form.upload:
        assert bytes(form.upload.view()) == FILE_BYTES


async def test_a_file_needs_no_filename_and_a_text_may_have_one() -> None:
    body = whole(
        part("file", b"abc"), part("name", b"Zoe", "Content-Type: text/plain; charset=UTF-8", filename="n.txt")
    )
    form = await receive(flow_of(body))
    with form.upload:
        assert (bytes(form.upload.view()), form.name) == (b"abc", "Zoe")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        f"multipart/mixed; boundary={BOUNDARY}",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary="a\nb"',
        f"{FORM_TYPE}; charset=iso-8859-1",
    ],
)
async def test_only_multipart_form_data_with_a_boundary_is_read(content_type: str | None) -> None:
    flow = flow_of(whole(FILE), content_type)
    assert (await refused(flow)).code is ErrorCode.INVALID_REQUEST
    assert isinstance(flow.body, Chunks)
    assert flow.body.given == 0


async def test_an_encoded_body_is_refused() -> None:
    error = await refused(flow_of(whole(FILE), Content_Encoding="gzip"))
    assert error.code is ErrorCode.INVALID_REQUEST
    assert "Content-Encoding" in error.message


async def test_two_content_types_are_refused() -> None:
    flow = flow_of(whole(FILE))
    headers = CIMultiDict(flow.headers)
    headers.add("Content-Type", FORM_TYPE)
    flow.headers = CIMultiDictProxy(headers)
    assert (await refused(flow)).code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "cannot be read"),
        (b"no form at all", "cannot be read"),
        (whole(FILE)[:-6], "cannot be read"),
        (FILE, "cannot be read"),
        (f"--{BOUNDARY}--\r\n".encode(), "`file` is missing"),
        (whole(part("name", b"Zoe")), "`file` is missing"),
        (whole(part("file", b"", filename="a.mp3")), "`file` is empty"),
        (whole(FILE, FILE), "`file` twice"),
        (whole(part("file", b""), FILE), "`file` twice"),
        (whole(FILE, part("name", b"a"), part("name", b"a")), "`name` twice"),
        (whole(part("model", b"a"), part("model", b"b"), FILE), "`model` twice"),
        (whole(part("file", b"aGk=", "Content-Transfer-Encoding: base64")), "Content-Transfer-Encoding"),
        (whole(FILE, part("name", b"a", "Content-Transfer-Encoding: quoted-printable")), "Content-Transfer-Encoding"),
        (whole(FILE, part("name", b"caf\xe9")), "not valid UTF-8"),
        (whole(FILE, part("name", b"a", "Content-Type: text/plain; charset=latin-1")), "UTF-8"),
        (whole(FILE, part("name", b"x" * 65)), "at most 64"),
        (whole(FILE, part("name", b"a\0b")), "control character"),
        (whole(FILE, part("name", b"a\nb")), "control character"),
        (whole(FILE, part("name", b"a\xc2\x85b")), "control character"),
        (whole(FILE, part("name", b"x" * 9_000)), "too long"),
        (whole(FILE, part("model", b"x" * 9_000)), "too long"),
        (whole(FILE, *[part(f"extra{n}", b"") for n in range(256)]), "over a limit"),
        (whole(part("file", b"abc", "X-Long: " + "x" * 9_000)), "over a limit"),
        (whole(part("file", b"abc", *[f"X-{n}: 1" for n in range(65)])), "over a limit"),
        (whole(b"--" + BOUNDARY.encode() + b"\r\nContent-Type: text/plain\r\n\r\nabc\r\n"), "cannot be read"),
        (whole(part("file", b"abc", "Content-Length: 2")), "cannot be read"),
        (whole(part("file", b"abc", "\xff: 1")), "cannot be read"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [5, 65_536])
async def test_a_form_that_cannot_be_understood_is_refused(body: bytes, says: str, chunk_bytes: int) -> None:
    error = await refused(flow_of(body, chunk_bytes=chunk_bytes))
    assert error.code is ErrorCode.INVALID_REQUEST
    assert says in error.message


async def test_the_bounds_themselves_are_allowed() -> None:
    extras = [part(f"extra{n}", b"") for n in range(62)]
    body = whole(*extras, part("file", b"x" * FILE_MAX), part("name", "é".encode() * 64))
    form = await receive(flow_of(body))
    with form.upload:
        assert (form.upload.size, form.name) == (FILE_MAX, "é" * 64)


async def test_a_file_over_the_cap_is_refused_as_soon_as_it_is_counted() -> None:
    flow = flow_of(whole(part("file", b"x" * 10 * FILE_MAX), part("model", b"other")), chunk_bytes=10_000)
    assert (await refused(flow)).code is ErrorCode.TOO_LARGE
    assert isinstance(flow.body, Chunks)
    assert flow.body.given == 11


async def test_one_byte_over_the_cap_is_too_large() -> None:
    assert (await refused(flow_of(whole(part("file", b"x" * (FILE_MAX + 1)))))).code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(("sent", "kept"), [(b"", None), (b" \t ", None), (b"\xc2\xa0", None), (b" Zoe ", " Zoe ")])
async def test_a_blank_name_is_none_and_any_other_is_kept_as_sent(sent: bytes, kept: str | None) -> None:
    form = await receive(flow_of(whole(FILE, part("name", sent))))
    with form.upload:
        assert form.name == kept


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (part("file", b"x" * 50_000), ConnectionResetError()),
        (part("file", b"x" * 50_000), GatewayError(ErrorCode.REQUEST_TIMEOUT, "too slow")),
        (whole(FILE, FILE), None),
        (whole(part("file", b"x" * 200_000)), None),
        (part("file", b"x"), None),
    ],
)
async def test_whatever_goes_wrong_the_upload_is_released(
    body: bytes, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Upload] = []

    def remember(max_bytes: int) -> Upload:
        made.append(Upload(max_bytes))
        return made[-1]

    monkeypatch.setattr(form_module, "Upload", remember)
    flow = flow_of(b"")
    flow.body = Chunks(body, 4_096, error)
    with pytest.raises(type(error) if error else GatewayError):
        await receive(flow)
    assert [repr(upload).endswith("closed)") for upload in made] == [True]


async def test_the_form_keeps_no_second_copy_of_the_file() -> None:
    form = await receive(flow_of(whole(FILE)))
    view, upload = form.upload.view(), weakref.ref(form.upload)
    form.upload.close()
    del form
    gc.collect()
    assert upload() is None
    assert bytes(view) == FILE_BYTES
