from __future__ import annotations

import pytest
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
