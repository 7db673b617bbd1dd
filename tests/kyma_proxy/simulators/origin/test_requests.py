import asyncio
import hashlib
import io

import pytest
from aiohttp import FormData

from kyma_proxy.simulators.origin.requests import BODY_BYTES_MAX, FILE_BYTES_MAX, JSON_BYTES_MAX

FORM = "multipart/form-data; boundary=b"


async def post_raw(caller, endpoint: str, body: bytes, content_type: str):
    headers = {"Content-Type": content_type}
    return await caller.send("POST", f"/v1/audio/{endpoint}", data=io.BytesIO(body), headers=headers)


async def test_a_form_is_hashed_and_its_fields_named(caller, origin) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nsound\r\n'
        b'--b\r\nContent-Disposition: form-data; name="question"\r\n\r\nWho?\r\n--b--\r\n'
    )
    assert (await post_raw(caller, "understand", body, FORM)).status == 200

    (call,) = origin.calls
    assert (call.form_fields, call.body_bytes) == (["file", "question"], len(body))
    assert call.body_sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"--b\r\n\r\nno name\r\n--b--\r\n", FORM),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nnever ends', FORM),
        (b"", "multipart/form-data"),
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b"\xff", "text/plain"),
        (b"[" * 100_000, "application/json"),
    ],
)
async def test_what_cannot_be_read_is_hashed_all_the_same(caller, origin, body, content_type) -> None:
    assert (await post_raw(caller, "understand", body, content_type)).error == (400, "invalid_request")
    assert origin.calls[0].body_sha256 == hashlib.sha256(body).hexdigest()


async def test_a_broken_body_is_not_spoken_about_without_a_key(caller) -> None:
    assert (await caller.send("POST", "/v1/audio/speech", key=None, data=b"{")).error == (401, "auth_error")


async def test_the_file_is_bounded(caller, origin) -> None:
    assert (await caller.upload("understand", bytes(FILE_BYTES_MAX), {"question": "?"})).status == 200
    assert (await caller.upload("understand", bytes(FILE_BYTES_MAX + 1), {})).error == (413, "invalid_request")
    assert all(call.body_sha256 for call in origin.calls)


async def test_json_is_bounded(caller) -> None:
    body = b'{"input": "' + bytes(JSON_BYTES_MAX) + b'"}'
    assert (await post_raw(caller, "speech", body, "application/json")).error == (413, "invalid_request")


async def test_the_rest_of_an_endless_body_is_not_read(caller, origin) -> None:
    sent = 0

    async def endless():
        nonlocal sent
        while sent < 10 * BODY_BYTES_MAX:
            sent += 1024 * 1024
            yield bytes(1024 * 1024)
            await asyncio.sleep(0)

    reply = await caller.send("POST", "/v1/audio/speech", data=endless())

    assert reply.error == (413, "invalid_request")
    assert reply.headers["Connection"] == "close"
    assert sent < 3 * BODY_BYTES_MAX
    (call,) = origin.calls
    assert (call.body_sha256, call.reply_status) == (None, 413)
    assert BODY_BYTES_MAX < call.body_bytes <= BODY_BYTES_MAX + 1024 * 1024


async def test_long_texts_of_a_form_are_cut(caller) -> None:
    form = FormData({"question": "x" * 200_000, "model": "audio-understand"}, default_to_multipart=True)
    form.add_field("file", io.BytesIO(b"x"), filename="a")
    assert (await caller.send("POST", "/v1/audio/understand", data=form)).status == 200


async def test_a_form_of_many_parts_is_refused(caller, origin) -> None:
    form = FormData([(f"field-{number}", "x") for number in range(50)], default_to_multipart=True)
    assert (await caller.send("POST", "/v1/audio/understand", data=form)).error == (400, "invalid_request")
    assert len(origin.calls[0].form_fields) == 20
