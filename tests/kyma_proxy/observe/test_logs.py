from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.observe.logs import configure_logging, redact

KEY = "ky-" + "A1b2_-" * 6
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJHcm91cCI6Im1pbmltYXgifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_structlog_and_the_standard_library_write_the_same_lines() -> None:
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    structlog.get_logger("kyma_proxy.x").info("thing_happened", count=3, name="caf\udce9")
    logging.getLogger("asyncio").warning("slow %s", "callback", extra={"task": "t"})
    structlog.get_logger("kyma_proxy.x").debug("too_quiet")
    first, second = _lines(stream)
    assert first["event"] == "thing_happened"
    assert (first["level"], first["logger"], first["count"]) == ("info", "kyma_proxy.x", 3)
    assert str(first["time"]).endswith("Z")
    assert (second["event"], second["level"], second["logger"]) == ("slow callback", "warning", "asyncio")
    assert second["task"] == "t"


def test_a_traceback_is_one_line_and_without_secrets() -> None:
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    for log in (structlog.get_logger("a"), logging.getLogger("b")):
        try:
            raise RuntimeError(f"cannot use {KEY}")
        except RuntimeError:
            log.exception("it_failed")
    lines = _lines(stream)
    assert len(lines) == 2
    for line in lines:
        assert "RuntimeError: cannot use ky-[redacted]" in str(line["exception"])


def test_lines_for_people() -> None:
    stream = io.StringIO()
    configure_logging("warning", json=False, stream=stream)
    structlog.get_logger("a").warning("look_here", key=KEY)
    structlog.get_logger("a").info("not_here")
    assert "look_here" in stream.getvalue()
    assert KEY not in stream.getvalue()
    assert "not_here" not in stream.getvalue()


def test_the_last_configuration_counts() -> None:
    log = structlog.get_logger("a")
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", stream=first)
    log.info("one")
    configure_logging("info", stream=second)
    log.info("two")
    assert [line["event"] for line in _lines(first)] == ["one"]
    assert [line["event"] for line in _lines(second)] == ["two"]


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="loud"):
        configure_logging("loud")


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        (f"key {KEY} used", "key ky-[redacted] used"),
        ("sk-proj-abcdef123456", "sk-[redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        (TOKEN, "[redacted]"),
        ("postgresql://user:hunter2@host/db", "postgresql://user:[redacted]@host/db"),
        (KEY.encode(), "ky-[redacted]"),
        ({"Authorization": "x", "n": [KEY, 1]}, {"Authorization": "[redacted]", "n": ["ky-[redacted]", 1]}),
        (("a", None, 1.5, True), ["a", None, 1.5, True]),
        (ValueError(KEY), "ValueError('ky-[redacted]')"),
        ("kyma_0123456789abcdef is a voice, key_id stays, so does sky-blue", None),
    ],
)
def test_what_looks_like_a_secret_is_redacted(value: object, redacted: object) -> None:
    assert redact(value) == (value if redacted is None else redacted)


def test_fields_named_like_secrets_are_redacted() -> None:
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    structlog.get_logger("a").info("x", api_key="plain", password="plain", key_id="key_1")
    (line,) = _lines(stream)
    assert (line["api_key"], line["password"], line["key_id"]) == ("[redacted]", "[redacted]", "key_1")


@given(
    before=st.text(max_size=10),
    secret=st.sampled_from(
        [KEY, "sk-abcdef123456", f"BEARER\t{TOKEN}", "basic  dXNlcjpwYXNz", TOKEN, "a://b:hunter22@c"]
    ),
    after=st.text(max_size=10),
)
def test_nothing_around_a_secret_hides_it_from_the_quick_look(before: str, secret: str, after: str) -> None:
    text = f"{before} {secret} {after}"
    assert redact(text) != text
