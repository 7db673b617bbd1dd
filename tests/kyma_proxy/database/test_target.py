from __future__ import annotations

import inspect
from typing import Any

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args
from pydantic import SecretStr

from kyma_proxy.database.target import DatabaseTarget

_URL = "postgresql://gate:s3cret@one.example:5432,two.example:5433/books?target_session_attrs=read-write"


@pytest.mark.parametrize("url", [_URL, SecretStr(_URL)])
def test_a_url_goes_to_asyncpg_as_it_is(url: str | SecretStr) -> None:
    assert DatabaseTarget.from_url(url).connect_arguments() == {"dsn": _URL}


def test_what_is_printed_says_where_but_not_how_to_log_in() -> None:
    targets = [
        DatabaseTarget.from_url(_URL),
        DatabaseTarget.from_url(_URL).with_database("other"),
        DatabaseTarget.from_socket("/run/books", user="gate", password="s3cret", database="books"),
    ]
    assert [target.label for target in targets] == [
        "one.example:5432,two.example:5433/books",
        "one.example:5432,two.example:5433/other",
        "/run/books/books",
    ]
    assert "s3cret" not in repr(targets) + str(targets)


def test_a_password_with_an_at_sign_stays_hidden() -> None:
    assert DatabaseTarget.from_url("postgres://gate:p@ss@host/books").label == "host/books"


def test_another_database_of_the_same_server_keeps_the_login() -> None:
    target = DatabaseTarget.from_socket("/run/books", user="gate", password="s3cret", database="books")
    arguments = target.with_database("other").connect_arguments()
    assert arguments == {**target.connect_arguments(), "database": "other"}


@pytest.mark.parametrize("url", ["mysql://gate:s3cret@host/books", "postgresql+asyncpg://host/books", "books", ""])
def test_another_scheme_is_refused_without_repeating_the_url(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refused:
        DatabaseTarget.from_url(url)
    assert "s3cret" not in str(refused.value)


def _as_asyncpg_reads(url: str) -> tuple[tuple[Any, ...], str]:
    names = [name for name in inspect.signature(_parse_connect_dsn_and_args).parameters if name != "dsn"]
    addresses, parameters = _parse_connect_dsn_and_args(dsn=url, **dict.fromkeys(names))
    return tuple(addresses), parameters.target_session_attrs.value


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PGPORT": "6000"},
        {"PGPORT": "6000,6001"},
        {"PGHOST": "five.example:7,six.example", "PGTARGETSESSIONATTRS": "primary"},
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://gate:s3cret@one.example,two.example/books",
        "postgresql://gate:s3cret@one.example:1,two.example/books?target_session_attrs=read-write",
        "postgresql://gate@[::1]:5,two%2Eexample:7/books?target_session_attrs=any",
        "postgresql://one.example:5,two.example:6/books?host=three.example&port=7",
        "postgresql:///books?host=one.example,two.example&port=1,2&user=gate",
        "postgresql:///books?host=one.example:4,[::1]:5&port=9&user=gate",
        "postgresql:///books?host=one.example:4,two.example&user=gate",
        "postgresql:///books?host=/run/one,/run/two&port=9&user=gate&target_session_attrs=primary",
    ],
)
def test_hosts_and_attributes_are_what_asyncpg_makes_of_the_url(
    url: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    target = DatabaseTarget.from_url(url)
    addresses, attributes = _as_asyncpg_reads(url)
    hosts = [f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port) for host, port in target.hosts]
    assert (tuple(hosts), target.session_attributes) == (addresses, attributes)
    assert len(hosts) == 2
    assert target.wants_primary is (attributes != "any")


def test_hosts_come_from_the_environment_where_the_url_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    target = DatabaseTarget.from_url("postgresql:///books?user=gate")
    assert target.hosts == ()
    monkeypatch.setenv("PGHOST", "one.example,two.example:7")
    assert target.hosts == (("one.example", 5432), ("two.example", 7))


def test_a_socket_is_one_host_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGTARGETSESSIONATTRS"):
        monkeypatch.setenv(name, "read-write")
    target = DatabaseTarget.from_socket("/run/books", user="gate", password="s3cret", database="books")
    assert (target.hosts, target.session_attributes) == ((("/run/books", 5432),), "any")
    assert not target.wants_primary


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [("any", False), ("read-write", True), ("primary", True), ("standby", False), ("prefer-standby", False)],
)
def test_a_primary_is_wanted_where_the_url_says_so(attributes: str, wanted: bool) -> None:
    url = f"postgresql://one.example,two.example/books?target_session_attrs={attributes}"
    assert DatabaseTarget.from_url(url).wants_primary is wanted


def test_ports_that_do_not_match_the_hosts_are_refused_as_by_asyncpg() -> None:
    url = "postgresql:///books?host=one.example,two.example&port=1,2,3&user=gate"
    with pytest.raises(ValueError):
        _as_asyncpg_reads(url)
    with pytest.raises(ValueError):
        assert DatabaseTarget.from_url(url).hosts
