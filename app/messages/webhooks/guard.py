"""Whether a webhook's URL may be called at all, and which checked addresses its call goes to.

A URL that a caller chose must lead to nothing but the public internet: it is checked when it is
given, and again, by every address that its name has, when it is called.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit

from app.errors import ServiceError, refusal
from app.messages.webhooks.addresses import (
    Address,
    Network,
    is_in,
    is_public,
    read_literal,
    read_networks,
)
from app.settings import Settings

POINTER: Final = "/webhook"
PORTS: Final = {"https": 443, "http": 80}
LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME: Final = re.compile(rf"(?=.{{1,253}}$){LABEL}(?:\.{LABEL})*\.?")
LOOPBACK: Final = IPv4Address("127.0.0.1")

Resolve = Callable[[str, int], Sequence[Address]]


class Unresolved(Exception):
    """The name has no address now, or nobody said so in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """ports: of the public internet; networks: what may be called besides, over http too."""

    ports: frozenset[int]
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL in the parts that a call needs. literal: the address, where the host is one."""

    is_tls: bool
    host: str
    port: int
    path: str
    literal: Address | None


def rules_of(settings: Settings) -> Rules:
    """The operator's."""
    ports = frozenset(int(port) for port in settings.webhook_ports.split(","))
    return Rules(ports=ports, networks=read_networks(settings.webhook_networks))


def read_target(url: str, rules: Rules) -> Target:
    """The URL taken apart. Raises ServiceError ``forbidden-url`` for one that cannot be allowed
    whatever its name leads to.
    """
    try:
        parts = urlsplit(url)
        given_port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise forbidden("another form of host or port") from None
    if parts.scheme.lower() not in PORTS:
        raise forbidden("another scheme")
    if parts.username is not None or parts.password is not None:
        raise forbidden("one with a user or password")
    try:
        literal = read_literal(host)
    except ValueError:
        raise forbidden("an address in another form") from None
    if literal is None and ("[" in parts.netloc or not NAME.fullmatch(host)):
        raise forbidden("another form of host")
    is_tls = parts.scheme.lower() == "https"
    port = PORTS[parts.scheme.lower()] if given_port is None else given_port
    if not rules.networks and not (is_tls and port in rules.ports):
        raise forbidden("another port" if is_tls else "one without TLS")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_tls=is_tls, host=host, port=port, path=path, literal=literal)


def checked_addresses(target: Target, rules: Rules, resolve: Resolve) -> Sequence[Address]:
    """The addresses that the target has now, every one of them allowed.

    Raises ServiceError ``forbidden-url`` where one is not; Unresolved.
    """
    found = _addresses(target, resolve)
    for address in found:
        if not _is_allowed(target, address, rules):
            raise forbidden("one that leads elsewhere")
    return found


def check_webhook(url: str, rules: Rules, resolve: Resolve) -> None:
    """Raises ServiceError ``forbidden-url`` for a URL that leads elsewhere than it may.

    A name without an address now is taken: nothing of it is called before it is checked again.
    """
    target = read_target(url, rules)
    try:
        checked_addresses(target, rules, resolve)
    except Unresolved:
        return


def forbidden(got: str) -> ServiceError:
    """The refusal of a webhook's URL."""
    detail = f"expected an https URL of a server on the public internet, got {got}"
    return refusal("forbidden-url", POINTER, detail)


def _addresses(target: Target, resolve: Resolve) -> Sequence[Address]:
    if target.literal is not None:
        return [target.literal]
    name = target.host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, whatever a resolver says
        return [LOOPBACK]
    return resolve(target.host, target.port)


def _is_allowed(target: Target, address: Address, rules: Rules) -> bool:
    if is_in(address, rules.networks):
        return True
    return target.is_tls and target.port in rules.ports and is_public(address)
