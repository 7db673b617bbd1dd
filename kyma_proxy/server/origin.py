"""Where a request came from: the peer, or what a trusted proxy says of its own client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.web import BaseRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """The client's address, the scheme it used and the host it asked for.

    `forwarded_for` is what the next hop is told in `X-Forwarded-For`: the peer, behind what a trusted one said itself.
    """

    address: str
    scheme: str
    host: str
    forwarded_for: str


def claimed_origin(request: BaseRequest, trusted: Iterable[IPv4Network | IPv6Network]) -> Origin:
    """Who sent a request. `X-Forwarded-*` are believed only from `trusted` peers.

    The client is the last address of `X-Forwarded-For` that is not itself a trusted proxy: what stands before it was
    written by strangers.
    """
    peername = request.transport.get_extra_info("peername") if request.transport is not None else None
    address = str(peername[0]) if isinstance(peername, tuple) else ""
    is_tls = request.transport is not None and request.transport.get_extra_info("sslcontext") is not None
    scheme = "https" if is_tls else "http"
    host = request.headers.get("Host", "")
    networks = tuple(trusted)
    if not networks or not _is_in(_parsed(address), networks):
        return Origin(address, scheme, host, address)
    claimed_scheme = request.headers.get("X-Forwarded-Proto", "").strip().lower()
    claimed_host = request.headers.get("X-Forwarded-Host", "").strip()
    said = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    hops = [hop.strip() for hop in said if hop.strip()]
    return Origin(
        _last_stranger(hops, address, networks),
        claimed_scheme if claimed_scheme in {"http", "https"} else scheme,
        claimed_host or host,
        ", ".join([*hops, address]),
    )


def _last_stranger(hops: list[str], address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> str:
    for hop in reversed(hops):
        parsed = _parsed(hop)
        if parsed is None:
            break
        address = str(parsed)
        if not _is_in(parsed, networks):
            break
    return address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    # A listener on IPv6 tells of IPv4 peers so.
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def _is_in(address: IPv4Address | IPv6Address | None, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return address is not None and any(address in network for network in networks)
