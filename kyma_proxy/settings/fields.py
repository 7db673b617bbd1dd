"""The types of single fields: addresses, URLs, secrets that go into a header, mappings that cannot change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SecretStr, WrapSerializer

T = TypeVar("T")
IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

PORT_MAX = 65535
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_LISTEN_FORM = "must be HOST:PORT in quotes or not, such as 127.0.0.1:8080 or [::1]:8080"


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where to listen. `host` has no brackets; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def overlaps(self, other: HostPort) -> bool:
        """Whether both cannot be listened on at once; port 0 never clashes."""
        if self.port == 0 or self.port != other.port:
            return False
        ours, theirs = _address(self.host), _address(other.host)
        if isinstance(ours, str) or isinstance(theirs, str):
            return ours == theirs
        return ours.version == theirs.version and (ours == theirs or ours.is_unspecified or theirs.is_unspecified)


def _address(host: str) -> IpAddress | str:
    name = host.casefold()
    try:
        return ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        return name


def parse_host_port(value: object) -> HostPort:
    """A HostPort of `HOST:PORT`; the host is a name, an IPv4 address, or an IPv6 address in brackets.

    Raises ValueError for anything else, without repeating the text.
    """
    if isinstance(value, HostPort):
        return value
    if not isinstance(value, str):
        raise ValueError(_LISTEN_FORM)
    host, separator, port = value.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > PORT_MAX:
        raise ValueError(_LISTEN_FORM)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not isinstance(_address(host), IPv6Address):
            raise ValueError("there is no IPv6 address in the brackets")
    elif ":" in host:
        raise ValueError("an IPv6 address must stand in brackets, such as [::1]:8080")
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError(_LISTEN_FORM)
    elif not host.strip("0123456789.") and isinstance(_address(host), str):
        raise ValueError("the host looks like an IPv4 address but is none")
    return HostPort(host, int(port))


def _network(value: object) -> IpNetwork:
    try:
        return value if isinstance(value, IpNetwork) else ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8, with no bits set beyond its prefix") from None


def _base_url(url: str) -> str:
    if not _VISIBLE_ASCII.fullmatch(url) or "\\" in url:
        raise ValueError("must be an http:// or https:// URL in visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("must be an http:// or https:// URL; its host or its port cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("must be an http:// or https:// URL with a host")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or a password")
    if "?" in url or "#" in url:
        raise ValueError("must not hold a query or a fragment")
    return url.rstrip("/")


def _header_secret(secret: SecretStr) -> SecretStr:
    if not _VISIBLE_ASCII.fullmatch(secret.get_secret_value()):
        raise ValueError("must be visible ASCII characters without spaces or line ends, and not empty")
    return secret


def _database_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if url == "embedded":
        return secret
    try:
        scheme, port = urlsplit(url).scheme, urlsplit(url).port
    except ValueError:
        raise ValueError("is a URL whose host or port cannot be read") from None
    if scheme not in ("postgresql", "postgres") or "://" not in url or port == 0 or not url.isprintable():
        raise ValueError("must be embedded, or a URL such as postgresql://user:password@host/database")
    return secret


def _freeze(value: Mapping[str, T]) -> Mapping[str, T]:
    return MappingProxyType(dict(value))


def _thaw(value: Mapping[str, Any], serialize: Any) -> Any:
    return serialize(dict(value))


FrozenMapping = Annotated[Mapping[str, T], AfterValidator(_freeze), WrapSerializer(_thaw)]
"""A mapping that nobody can change after it was read."""
ListenAddress = Annotated[HostPort, PlainValidator(parse_host_port), PlainSerializer(str)]
Network = Annotated[IpNetwork, PlainValidator(_network), PlainSerializer(str)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""An http or https URL without user, query, fragment and trailing slash."""
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_secret)]
"""A secret that can stand in a request header."""
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
