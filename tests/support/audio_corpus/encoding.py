"""Encoding a tone with real encoders, and decoding a file to learn how long it really plays."""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import av
from av.codec.codec import UnknownCodecError

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_TONE_HZ = 220


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a tone is encoded: codec and container by the names of the libraries, rates in Hz and bits a second."""

    container: str
    codec: str
    rate_hz: int = 44_100
    channels: int = 1
    bit_rate: int | None = None
    sample_format: str | None = None
    codec_options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    with_video: bool = False


class MissingEncoderError(Exception):
    """This build of the libraries has no such encoder: which ones it has differs between versions of Python."""


@cache
def tone(samples: int, channels: int, rate_hz: int) -> bytes:
    """`samples` sample frames of a sine, 16-bit little endian."""
    second = array("h", (int(9_000 * math.sin(2 * math.pi * _TONE_HZ * n / rate_hz)) for n in range(rate_hz)))
    mono = (second * -(-samples // rate_hz))[:samples]
    interleaved = array("h", bytes(2 * samples * channels))
    for channel in range(channels):
        interleaved[channel::channels] = mono
    return interleaved.tobytes()


def encode(seconds: float, how: Encoding) -> bytes:
    """A file with `seconds` of a tone, rounded to whole samples."""
    return encode_samples(round(seconds * how.rate_hz), how)


def encode_samples(samples: int, how: Encoding) -> bytes:
    """A file with exactly `samples` sample frames of a tone. Raises MissingEncoderError."""
    try:
        av.Codec(how.codec, "w")
    except UnknownCodecError as error:
        raise MissingEncoderError(f"this build of PyAV has no encoder {how.codec}") from error
    file = io.BytesIO()
    with av.open(file, "w", format=how.container, options=dict(how.container_options)) as output:
        video = _video_stream(output) if how.with_video else None
        stream: Any = output.add_stream(how.codec, rate=how.rate_hz, options=dict(how.codec_options))
        stream.layout = _LAYOUTS[how.channels]
        if how.bit_rate is not None:
            stream.bit_rate = how.bit_rate
        if how.sample_format is not None:
            stream.format = how.sample_format
        for source, frames in ((video, _pictures()), (stream, [_frame(samples, how)])):
            if source is not None:
                for frame in [*frames, None]:
                    output.mux(source.encode(frame))
    return file.getvalue()


def _frame(samples: int, how: Encoding) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout=_LAYOUTS[how.channels], samples=samples)
    frame.sample_rate, frame.time_base, frame.pts = how.rate_hz, Fraction(1, how.rate_hz), 0
    data = tone(samples, how.channels, how.rate_hz)
    frame.planes[0].update(data.ljust(frame.planes[0].buffer_size, b"\0"))
    return frame


def _video_stream(output: Any) -> Any:
    stream = output.add_stream("mpeg4", rate=5)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuv420p"
    return stream


def _pictures() -> list[av.VideoFrame]:
    frame = av.VideoFrame(32, 32, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return [frame]


def decoded_seconds(data: bytes) -> float | None:
    """How long the first audio stream plays when everything in it is decoded; None where nothing can be."""
    total = Fraction(0)
    try:
        with av.open(io.BytesIO(data)) as file:
            if not file.streams.audio:
                return None
            for packet in file.demux(file.streams.audio[0]):
                total += _played(packet)
    except av.FFmpegError:
        return float(total) if total else None
    return float(total) if total else None


def _played(packet: Any) -> Fraction:
    try:
        return sum((Fraction(frame.samples, frame.sample_rate) for frame in packet.decode()), Fraction(0))
    except av.FFmpegError:
        return Fraction(0)
