from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import TypeAdapter, ValidationError

from kyma_proxy.settings.fields import (
    BaseUrl,
    DatabaseUrl,
    FrozenMapping,
    HeaderSecret,
    HostPort,
    Network,
    parse_host_port,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:8080", "::1", 8080),
        ("[::]:1", "::", 1),
    ],
)
def test_an_address_is_parsed_and_printed_alike(text: str, host: str, port: int) -> None:
    address = parse_host_port(text)
    assert address == HostPort(host, port)
    assert str(address) == text
    assert parse_host_port(address) is address


@pytest.mark.parametrize(
    "text",
    [
        *("", "8080", ":8080", "host:", "host:65536", "host:-1", "host:٣", "::1:80", "[]:80", "[host]:80", "a b:80"),
        *("127.0.0.300:80", "1.2.3:80", "http://h:80", "host:99999999999999999999", "-h:80", 8080, None),
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"must|brackets|IPv4"):
        parse_host_port(text)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("localhost:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("[::]:80", "127.0.0.1:80", False),
        ("[::1]:80", "[0:0::1]:80", True),
        ("kyma:80", "KYMA:80", True),
        ("kyma:80", "127.0.0.1:80", False),
    ],
)
def test_listeners_clash_when_one_socket_would_take_the_others_place(one: str, other: str, clash: bool) -> None:
    assert parse_host_port(one).overlaps(parse_host_port(other)) is clash


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.minimax.io", "https://api.minimax.io"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/base/", "http://[::1]:9000/base"),
    ],
)
def test_base_urls_lose_their_trailing_slash(url: str, kept: str) -> None:
    assert TypeAdapter(BaseUrl).validate_python(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        *("", "api.minimax.io", "ftp://h", "http://", "http:///p", "http://u@h", "http://u:p@h", "http://h?"),
        *("http://h#", "http://h?a=b", "http://h#f", "http://h:x", "http://h:99999", "http://h:0", "http://[::1"),
        *("http://h /p", "http://hö", "http://h\\p", "http://h\n"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(BaseUrl).validate_python(url)


@pytest.mark.parametrize(
    "url", ["embedded", "postgresql://u:p@h:5432/db", "postgres://h/db", "postgresql:///db?host=/s"]
)
def test_database_urls(url: str) -> None:
    assert TypeAdapter(DatabaseUrl).validate_python(url).get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["", "Embedded", "mysql://h/db", "postgresql:db", "postgres://h:x/db", "postgres://h\n"]
)
def test_other_database_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DatabaseUrl).validate_python(url)


@pytest.mark.parametrize("key", ["", " ", "a b", "key\n", "clé", "a\0"])
def test_a_secret_that_cannot_stand_in_a_header_is_refused(key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(HeaderSecret).validate_python(key)
    assert "visible ASCII" in str(caught.value)


def test_networks() -> None:
    adapter = TypeAdapter[object](Network)
    assert str(adapter.validate_python("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(adapter.validate_python("::1")) == "::1/128"
    for bad in ("10.0.0.1/8", "ten", 10, None):
        with pytest.raises(ValidationError, match="network such as"):
            adapter.validate_python(bad)


def test_a_frozen_mapping_cannot_be_changed_and_still_serializes() -> None:
    adapter: TypeAdapter[Mapping[str, int]] = TypeAdapter(FrozenMapping[int])
    given = {"a": 1}
    mapping = adapter.validate_python(given)
    with pytest.raises(TypeError):
        mapping["b"] = 2  # type: ignore[index]
    given["a"] = 5
    assert mapping["a"] == 1
    assert adapter.dump_json(mapping) == b'{"a":1}'
