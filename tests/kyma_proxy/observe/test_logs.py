from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
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


LINE = """
import json, logging, sys
from kyma_proxy.observe import logs
fields = json.loads(sys.argv[1])
logs.configure_logging(sys.argv[2])
logs.log_line("request", "kyma_proxy.requests", fields)
logs._direct = None
logs.log_line("request", "kyma_proxy.requests", fields)
"""


def lines_of(fields: dict[str, object], level: str = "info") -> list[dict[str, object]]:
    """What a process of its own writes of the same fields: by the direct way, then by the long one."""
    ran = subprocess.run(
        [sys.executable, "-c", LINE, json.dumps(fields), level], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    "fields",
    [
        {"request_id": "req_1", "status": 200, "duration_ms": 1.5, "plugin": None, "is": True, "path": "/v1/ä€\u2028"},
        {"path": "/v1/audio/x", "note": "Bearer ky-verysecretkey123"},
        {"api_key": "whatever it is", "path": "/"},
        {"url": "postgresql://user:password@host/db"},
    ],
)
def test_the_direct_way_writes_what_the_long_one_does(fields: dict[str, object]) -> None:
    direct, long = lines_of(fields)
    assert {**direct, "time": None} == {**long, "time": None}
    assert list(direct) == list(long)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(direct["time"]))
    for secret in ("verysecret", "whatever", "password"):
        assert secret not in json.dumps(direct)


def test_the_level_counts_for_the_direct_way_too() -> None:
    assert lines_of({"path": "/"}, "warning") == []
