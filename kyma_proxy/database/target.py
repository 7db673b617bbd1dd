"""Where a database is and how to log in, as a value that cannot be printed by accident."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from kyma_proxy.settings import environment

_PORT = "5432"
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

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """Host (or socket folder) and port of every server that the database may be on, in the order of the URL.

        They are what asyncpg makes of the URL, `PGHOST` and `PGPORT`; empty where those name none and asyncpg looks in
        places of its own. Raises ValueError for a port that is no number.
        """
        if "host" in self._arguments:
            return ((self._arguments["host"], self._arguments["port"]),)
        parts = urlsplit(self._arguments["dsn"])
        query = parse_qs(parts.query)
        named, default_ports = parts.netloc.rpartition("@")[2], _ports(environment().get("PGPORT") or _PORT)
        if named:
            return _pairs([_host_and_port(each) for each in named.split(",")], default_ports)
        named = query.get("host", [""])[-1] or environment().get("PGHOST", "")
        hosts = [_host_and_port(each) for each in named.split(",")] if named else []
        if given := query.get("port", [""])[-1]:
            return _pairs([(host, None) for host, _ in hosts], _ports(given))
        return _pairs(hosts, default_ports)

    @property
    def session_attributes(self) -> str:
        """What a server must be to be connected to: `target_session_attrs`, of the URL or `PGTARGETSESSIONATTRS`."""
        given = self._arguments.get("target_session_attrs")
        if given is None:
            given = parse_qs(urlsplit(self._arguments["dsn"]).query).get("target_session_attrs", [None])[-1]
        return given or environment().get("PGTARGETSESSIONATTRS") or "any"

    @property
    def wants_primary(self) -> bool:
        """Whether only a server that takes writes is good enough, so that connections follow a failover."""
        return self.session_attributes in ("read-write", "primary")

    def connect_arguments(self) -> dict[str, Any]:
        """Keyword arguments for `asyncpg.connect` and `asyncpg.create_pool`; JSON-serialisable, holds the password."""
        return dict(self._arguments)


def _host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("/"):
        return text, None
    if found := re.match(r"\[([^\]]+)\](?::(\d+))?", text):
        return found[1], int(found[2]) if found[2] else None
    host, _, port = text.partition(":")
    return unquote(host), int(unquote(port)) if port else None


def _ports(text: str) -> list[int]:
    return [int(port) for port in text.split(",")]


def _pairs(hosts: list[tuple[str, int | None]], ports: list[int]) -> tuple[tuple[str, int], ...]:
    """Each host with its own port or that of the list, which has one for all or one for each."""
    if len(ports) == 1:
        ports = ports * len(hosts)
    return tuple((host, own or port) for (host, own), port in zip(hosts, ports, strict=True))
