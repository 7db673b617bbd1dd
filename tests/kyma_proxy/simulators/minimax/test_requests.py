import io

from aiohttp import FormData

from kyma_proxy.simulators.minimax.requests import FORM_BYTES_MAX, JSON_BYTES_MAX


async def test_a_call_is_recorded_as_it_came(caller, simulator) -> None:
    form = FormData()
    form.add_field("purpose", "voice_clone")
    form.add_field("file", io.BytesIO(b"sound"), filename="kyma_01.mp3", content_type="audio/mpeg")
    async with caller.session.post("/v1/files/upload?GroupId=7", data=form) as reply:
        await reply.read()

    (call,) = simulator.calls
    assert (call.method, call.path, call.query) == ("POST", "/v1/files/upload", {"GroupId": "7"})
    assert call.headers["authorization"] == "Bearer sk-api-simulated"
    assert call.fields == {"purpose": "voice_clone"}
    assert (call.filename, call.upload, call.upload_bytes) == ("kyma_01.mp3", b"sound", 5)


async def test_json_is_recorded_with_all_digits(caller, simulator) -> None:
    await caller.post("/v1/files/delete", file_id=2**63 - 1, purpose="voice_clone")

    assert simulator.calls[-1].json == {"file_id": 2**63 - 1, "purpose": "voice_clone"}


async def test_a_file_over_the_limit_is_counted_but_not_kept(caller, simulator) -> None:
    await caller.upload(bytes(22 * 1024 * 1024), "a.mp3")

    (call,) = simulator.calls
    assert (call.upload, call.upload_bytes) == (b"", 22 * 1024 * 1024)


async def test_bodies_are_bounded(caller, simulator) -> None:
    async with caller.session.post("/v1/voice_clone", data=io.BytesIO(bytes(JSON_BYTES_MAX + 1))) as reply:
        assert reply.status == 413
    form = FormData()
    form.add_field("file", io.BytesIO(bytes(FORM_BYTES_MAX + 1)), filename="a.mp3")
    async with caller.session.post("/v1/files/upload", data=form) as reply:
        assert reply.status == 413
    assert simulator.calls == []


async def test_a_form_of_many_parts_ends_at_the_bound(caller, simulator) -> None:
    form = FormData([(f"field-{number}", "x") for number in range(50)], default_to_multipart=True)
    async with caller.session.post("/v1/files/upload", data=form) as reply:
        assert (await reply.json())["base_resp"]["status_code"] == 2013

    assert len(simulator.calls[0].fields) == 20


async def test_a_form_inside_a_form_is_no_form(caller, simulator) -> None:
    body = b"--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n--a--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    async with caller.session.post("/v1/files/upload", data=io.BytesIO(body), headers=headers) as reply:
        assert (await reply.json())["base_resp"]["status_code"] == 2013
