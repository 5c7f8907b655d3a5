"""Which addresses a webhook may be sent to: those of the public internet, and networks that the
operator names. It opens nothing and resolves nothing.

IPv6 can carry an IPv4 address inside; then that one is looked at as well.
"""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
NAT64: Final = IPv6Network("64:ff9b::/96")
# Global by the registry and yet nobody's server: 6to4 relays; documentation; Teredo.
NOBODYS: Final = (
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
    IPv6Network("2001::/32"),
)


def read_networks(text: str | None) -> tuple[Network, ...]:
    """``127.0.0.0/8, ::1/128`` as networks. Raises ValueError for what is none."""
    return tuple(ip_network(part.strip()) for part in (text or "").split(",") if part.strip())


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (``::ffff:10.0.0.1``), or the address itself."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks has it."""
    return any(plain(address) in network for network in networks)


def is_public(address: Address) -> bool:
    """Whether it is one of the public internet, and what it carries inside is as well."""
    address = plain(address)
    if isinstance(address, IPv4Address):
        return address.is_global and not (
            address.is_multicast or address.is_reserved or is_in(address, NOBODYS)
        )
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    return address in GLOBAL_UNICAST and address.is_global and not is_in(address, NOBODYS)


def read_literal(host: str) -> Address | None:
    """The address that a URL's host is, without brackets; None for a name.

    Raises ValueError for every other way to write one, such as 127.1, 0x7f000001 or 017700000001:
    who ends in a number is no name (WHATWG URL, "ends in a number").
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone")
        return ip_address(host)
    last = host.removesuffix(".").rpartition(".")[2].lower()
    if last.isdigit() or (last.startswith("0x") and set(last[2:]) <= set("0123456789abcdef")):
        return IPv4Address(host)
    return None
