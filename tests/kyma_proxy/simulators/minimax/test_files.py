import io

import pytest
from aiohttp import FormData

from kyma_proxy.simulators.minimax.files import FILE_BYTES_MAX


async def test_upload_answers_in_the_documented_shape(caller, simulator, literal, wav) -> None:
    data = wav(1)

    said = await caller.upload(data, "ref.wav")

    assert {name: type(value) for name, value in said["file"].items()} == {
        name: type(value) for name, value in literal("upload.reply.json")["file"].items()
    }
    assert said["base_resp"] == literal("upload.reply.json")["base_resp"]
    assert said["file"]["file_id"] > 2**53
    assert said["file"]["bytes"] == len(data)
    assert simulator.files[said["file"]["file_id"]].data == data


async def test_upload_takes_any_content_under_any_name(caller, fixture_bytes) -> None:
    assert (await caller.upload(fixture_bytes("tone-12s.ogg"), "tone"))["base_resp"]["status_code"] == 0


async def test_upload_is_limited_to_20_mb(caller, simulator) -> None:
    assert (await caller.upload(bytes(FILE_BYTES_MAX), "a.mp3"))["base_resp"]["status_code"] == 0

    said = await caller.upload(bytes(FILE_BYTES_MAX + 1), "a.mp3")

    assert said["base_resp"]["status_code"] == 2013
    assert simulator.calls[-1].upload_bytes == FILE_BYTES_MAX + 1
    assert len(simulator.files) == 1


@pytest.mark.parametrize("purpose", ["", "clone", "voice_clone "])
async def test_upload_needs_a_known_purpose(caller, purpose) -> None:
    assert (await caller.upload(b"x", "a.mp3", purpose))["base_resp"]["status_code"] == 2013


async def test_upload_needs_a_file_with_a_name(caller) -> None:
    form = FormData({"purpose": "voice_clone", "file": "not a file"}, default_to_multipart=True)
    async with caller.session.post("/v1/files/upload", data=form) as reply:
        said = await reply.json()

    assert said["base_resp"]["status_code"] == 2013


async def test_upload_of_something_else_than_a_form(caller) -> None:
    assert (await caller.post("/v1/files/upload", purpose="voice_clone"))["base_resp"]["status_code"] == 2013
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with caller.session.post("/v1/files/upload", data=io.BytesIO(b"no form"), headers=headers) as reply:
        assert (await reply.json())["base_resp"]["status_code"] == 2013


async def test_list_gives_the_files_of_one_purpose(caller) -> None:
    sample = await caller.file_id(b"1", "a.mp3")
    await caller.file_id(b"2", "b.mp3", "prompt_audio")

    said = await caller.get("/v1/files/list", purpose="voice_clone")

    assert [kept["file_id"] for kept in said["files"]] == [sample]
    assert (await caller.get("/v1/files/list"))["base_resp"]["status_code"] == 2013


async def test_retrieve_adds_a_link(caller) -> None:
    file_id = await caller.file_id(b"1", "a.mp3")

    said = await caller.get("/v1/files/retrieve", file_id=str(file_id))

    assert said["file"]["file_id"] == file_id
    assert said["file"]["download_url"].startswith("https://")
    for unknown in ("1", "", "x", "9" * 30):
        missing = await caller.get("/v1/files/retrieve", file_id=unknown)
        assert missing["base_resp"]["status_code"] == 2013


async def test_delete_needs_id_and_purpose_and_removes(caller, simulator) -> None:
    file_id = await caller.file_id(b"1", "a.mp3")

    for wrong in ({"file_id": file_id}, {"file_id": file_id, "purpose": "prompt_audio"}, {"purpose": "voice_clone"}):
        assert (await caller.post("/v1/files/delete", **wrong))["base_resp"]["status_code"] == 2013
    assert file_id in simulator.files
    said = await caller.post("/v1/files/delete", file_id=file_id, purpose="voice_clone")
    assert said == {"file_id": file_id, "base_resp": {"status_code": 0, "status_msg": "success"}}
    assert not simulator.files
    again = await caller.post("/v1/files/delete", file_id=file_id, purpose="voice_clone")
    assert again["base_resp"]["status_code"] == 2013


@pytest.mark.parametrize("lost", [float, str])
async def test_an_id_that_is_no_integer_any_more_is_refused(caller, lost) -> None:
    file_id = await caller.file_id(b"1", "a.mp3")

    said = await caller.post("/v1/files/delete", file_id=lost(file_id), purpose="voice_clone")

    assert said["base_resp"]["status_code"] == 2013


async def test_delete_without_json(caller) -> None:
    async with caller.session.post("/v1/files/delete", data=b"{") as reply:
        assert (await reply.json())["base_resp"]["status_code"] == 2013
