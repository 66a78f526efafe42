"""Which network addresses a stranger's URL may lead to: the public ones, and networks that are allowed by name.

Asked for the very address that a socket is about to connect to, so it doesn't matter how a host was written (decimal,
octal, an IPv6 form of an IPv4 address) or what DNS has said before. Never asked for names.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")


def may_connect(host: str, allowed: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address may be connected to.

    Args:
        host: A numeric address, as `getaddrinfo` gives it.
        allowed: Networks that are allowed although they aren't public.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    # Whatever it is written as, the packets go to the address inside.
    inner = _embedded(address) or address
    # A zone (fe80::1%eth0) is this machine's own link.
    return _is_public(inner) or ("%" not in host and any(inner in network for network in allowed))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address in _NAT64_LOCAL or address.is_site_local):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4, Teredo, NAT64 (RFC 4291, 3056, 4380, 6052)."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
