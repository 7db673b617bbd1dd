"""Forms that nobody sends by mistake, on real sockets: a clear refusal, nothing held, nobody upstream asked."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e_kit.clone_form import RECORDING, Form, part
from e2e_kit.wire import Wire, connect

CLONE_PATH = "/v1/audio/voice-clone"
MARK = b"--kyma-boundary\r\n"
END = b"--kyma-boundary--\r\n"
FILE = part("file", RECORDING, "recording.wav")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it is put on the wire. Without `length` it is chunked, in pieces of `piece_bytes`."""

    body: bytes
    content_type: str = Form().content_type
    length: int | None = None
    more: tuple[str, ...] = ()
    piece_bytes: int = 1 << 16
    raw_chunks: bytes | None = None
    statuses: frozenset[int] = field(default_factory=lambda: frozenset({400}))


def whole(*parts: bytes) -> bytes:
    """A form of these parts."""
    return b"".join(MARK + each + b"\r\n" for each in parts) + END


def plain(body: bytes, **more: Any) -> Sent:
    """A form with its length in the head."""
    return Sent(body, length=len(body), **more)


NESTED = part(
    "file",
    b"--inner\r\n" + FILE.replace(b'"file"', b'"deep"') + b"\r\n--inner--\r\n",
    content_type="multipart/mixed; boundary=inner",
)
CASES = {
    "a thousand parts": plain(whole(*(part(f"field{n}", b"x") for n in range(1_000)), FILE)),
    "a thousand files": plain(whole(*(FILE for _ in range(1_000)))),
    "a part with a giant header": plain(whole(b"X-Padding: " + b"x" * 1_000_000 + b"\r\n" + FILE)),
    "a part with a thousand headers": plain(whole(b"".join(b"X-%d: 1\r\n" % n for n in range(1_000)) + FILE)),
    "a part whose head never ends": plain(MARK + b"Content-Disposition: form-data; name=file" + b"\r\nX: y" * 200_000),
    "no boundary": plain(whole(FILE), content_type="multipart/form-data"),
    "an empty boundary": plain(whole(FILE), content_type='multipart/form-data; boundary=""'),
    "a boundary of 71 characters": plain(
        whole(FILE).replace(b"kyma-boundary", b"b" * 71), content_type=f"multipart/form-data; boundary={'b' * 71}"
    ),
    "another boundary than announced": plain(whole(FILE).replace(b"kyma-boundary", b"other")),
    "two boundaries announced": plain(
        whole(FILE), content_type="multipart/form-data; boundary=kyma-boundary; boundary=other"
    ),
    "nothing but a preamble of a megabyte": plain(b"x" * 1_000_000),
    "nothing but line ends": plain(b"\r\n" * 500_000),
    "bare line feeds": plain(whole(FILE).replace(b"\r\n", b"\n")),
    "a form within the form": plain(whole(NESTED), statuses=frozenset({415})),
    "only a form within the form": plain(whole(NESTED.replace(b'name="file"', b'name="files"'))),
    "base64": plain(whole(b"Content-Transfer-Encoding: base64\r\n" + FILE)),
    "quoted-printable": plain(whole(b"Content-Transfer-Encoding: quoted-printable\r\n" + FILE)),
    "an unknown transfer encoding": plain(whole(b"Content-Transfer-Encoding: x-rot13\r\n" + FILE)),
    "a charset that does not exist": plain(
        whole(b"Content-Type: text/plain; charset=no-such\r\n" + part("name", b"a"), FILE)
    ),
    "a name that is not UTF-8": plain(whole(part("name", b"\xff\xfe"), FILE)),
    "no closing boundary": plain(MARK + FILE),
    "cut within the closing boundary": plain(whole(FILE)[:-4]),
    "no name at all": plain(whole(b"Content-Disposition: form-data\r\n\r\n" + RECORDING)),
    "not form-data": plain(whole(b"Content-Disposition: attachment; name=file\r\n\r\n" + RECORDING)),
    "two files": plain(whole(FILE, FILE)),
    "compressed": plain(whole(FILE), more=("Content-Encoding: gzip",), statuses=frozenset({400, 415})),
    "a file over the cap, chunked": Sent(
        whole(part("file", bytes(10 * 1024 * 1024 + 1), "x")), statuses=frozenset({413})
    ),
    "parts without end, chunked": Sent(MARK + (part("x", b"y") + b"\r\n" + MARK) * 300_000, statuses=frozenset({400})),
    "chunks of a byte": Sent(whole(FILE)[:-6], piece_bytes=1),
    "a chunk that is no chunk": Sent(b"", raw_chunks=b"zz\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than it says": Sent(b"", raw_chunks=b"3\r\nhello\r\n0\r\n\r\n"),
    "a chunk of a huge size": Sent(b"", raw_chunks=b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "both length and chunks": Sent(whole(FILE), length=len(whole(FILE)), more=("Transfer-Encoding: chunked",)),
}


async def send(wire: Wire, key: str, sent: Sent) -> None:
    """Put a request on the wire; the gateway may well stop listening before its end."""
    framing = "Transfer-Encoding: chunked" if sent.length is None else f"Content-Length: {sent.length}"
    lines = (
        f"POST {CLONE_PATH} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key}",
        f"Content-Type: {sent.content_type}",
        framing,
        *sent.more,
    )
    await wire.send("\r\n".join((*lines, "", "")).encode())
    if sent.raw_chunks is not None:
        await wire.send(sent.raw_chunks)
        return
    for at in range(0, len(sent.body), sent.piece_bytes):
        piece = sent.body[at : at + sent.piece_bytes]
        await wire.send(piece if sent.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
    if sent.length is None:
        await wire.send(b"0\r\n\r\n")


@pytest.mark.parametrize("name", CASES)
async def test_it_is_refused_and_costs_nothing(world: Any, name: str) -> None:
    case = CASES[name]
    wire = await connect(world.application.data.port)
    sending = asyncio.ensure_future(send(wire, world.api_key, case))
    try:
        answer = await wire.message()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        wire.close()
    assert answer.head.status in case.statuses, answer.body
    assert json.loads(answer.body)["error"]["message"]
    assert not world.minimax.calls
    await world.require_untouched()
    assert (await world.clone(RECORDING)).status == 200, "the gateway serves on"


async def test_a_trickle_is_given_up(make_world: Any) -> None:
    world = await make_world(server="body_idle_timeout_seconds: 0.5, body_bytes_per_second_min: 1000000")
    wire = await connect(world.application.data.port)
    body = whole(FILE)

    async def trickle() -> None:
        await send(wire, world.api_key, Sent(b"", length=len(body)))
        for at in range(len(body)):
            await wire.send(body[at : at + 1])
            await asyncio.sleep(0.05)

    sending = asyncio.ensure_future(trickle())
    try:
        answer = await wire.message()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        wire.close()
    assert answer.head.status == 408
    assert json.loads(answer.body)["error"]["code"] == "request_timeout"
    assert not world.minimax.calls
    await world.require_untouched()


@pytest.mark.parametrize("order", ["file first", "file last", "file between"])
async def test_fields_come_in_any_order(world: Any, order: str) -> None:
    name, model = part("name", b"narrator"), part("model", b"minimax-voice-clone")
    parts = {"file first": (FILE, name, model), "file last": (model, name, FILE), "file between": (name, FILE, model)}
    headers = {"Authorization": f"Bearer {world.api_key}", "Content-Type": Form().content_type}
    answer = await world.request("POST", CLONE_PATH, data=whole(*parts[order]), headers=headers)
    assert (answer.status, answer.fields["name"]) == (200, "narrator")
