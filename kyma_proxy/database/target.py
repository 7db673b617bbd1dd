"""Where a database is and how to log in, as a value that cannot be printed by accident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

_SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True)
class DatabaseTarget:
    """One database. `label` says where it is without any secret; the arguments of asyncpg's `connect` stay hidden."""

    label: str
    _arguments: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_url(cls, url: SecretStr | str) -> DatabaseTarget:
        """A target from `postgresql://user:password@host[:port][,host…]/database[?option=value]`.

        The URL goes to asyncpg as it is, several hosts and `target_session_attrs` included. Raises ValueError for
        another scheme; the message never repeats the URL.
        """
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        if not text.startswith(_SCHEMES):
            raise ValueError("a database URL starts with postgresql:// or postgres://")
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        return cls(label=f"{hosts or 'local'}/{unquote(parts.path.lstrip('/'))}", _arguments={"dsn": text})

    @classmethod
    def from_socket(cls, folder: str, *, user: str, password: str, database: str) -> DatabaseTarget:
        """A target behind the unix socket in `folder`, independent of any PG… variable of the environment."""
        arguments = {
            "host": folder,
            "port": 5432,
            "user": user,
            "password": password,
            "database": database,
            "ssl": False,
            "target_session_attrs": "any",
        }
        return cls(label=f"{folder}/{database}", _arguments=arguments)

    def with_database(self, database: str) -> DatabaseTarget:
        """The same server and login, another database."""
        place = self.label.rpartition("/")[0]
        return DatabaseTarget(f"{place}/{database}", {**self._arguments, "database": database})

    def connect_arguments(self) -> dict[str, Any]:
        """Keyword arguments for `asyncpg.connect` and `asyncpg.create_pool`; JSON-serialisable, holds the password."""
        return dict(self._arguments)
