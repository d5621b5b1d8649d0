"""Decides what a sandbox with a network may reach: names, ports, and the addresses that a name may stand for. Pure.

Sources: RFC 9110 section 4.2 (authorities), RFC 1123 section 2.1 (names), the URL standard's "ends in a number" rule,
the IANA registries of special-purpose addresses (by `ipaddress`), the metadata services of the large clouds.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TOLD_LONGEST = 253 + len(":65535")
"""Letters of the longest name and a port."""
PORTS = (80, 443)
"""The ports of an allowed host that names none."""
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv6 addresses that lead to IPv4 ones through a translator (RFC 6052, RFC 8215)."""
_RESERVED = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10")))
"""Special, though `is_global` takes them for public; among them Oracle's metadata."""
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Public by their numbers, and yet the machine's own cloud: Azure's."""


@dataclass(frozen=True)
class Allowed:
    """One entry of an allowlist.

    Attributes:
        host: "example.org", or "*.example.org" for every name below it, or "*" for every name.
        port: the only one; None for `PORTS`.
    """

    host: str
    port: int | None = None

    def fits(self, host: str, port: int) -> bool:
        """Return whether the rule allows a host, in the form of `host_name`."""
        if port != self.port if self.port is not None else port not in PORTS:
            return False
        if self.host.startswith("*"):
            return host.endswith(self.host[1:])
        return host == self.host

    def __str__(self) -> str:
        """The rule as it was written."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


ANYWHERE = (Allowed("*"),)


def parse_allowed(text: str) -> Allowed:
    """Read "example.org", "*.example.org" or either with ":port".

    Raises:
        ValueError: it is an address, or no name; in one line.
    """
    name, _, port = text.strip().lower().partition(":")
    below = name.startswith("*.")
    host = host_name(name.removeprefix("*."))
    if host is None or (below and "." not in host):
        raise ValueError(f"{text!r} is not a host name like example.org or *.example.org, or one with a :port")
    if ":" in text and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} has no usable port")
    return Allowed(f"*.{host}" if below else host, int(port) if port else None)


def host_name(text: str) -> str | None:
    """The name in lower case, without a last dot; None for what is none, and for addresses however they are written."""
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
        return None
    try:
        socket.inet_aton(name)
    except OSError:
        return name
    return None


def printable_host(host: str) -> str:
    """Return the name of a host in a form that is fit for a record and a terminal: hostile code chose it."""
    return "".join(letter if letter.isprintable() else "?" for letter in host[:TOLD_LONGEST])


def allows(rules: Sequence[Allowed], host: str, port: int) -> bool:
    """Return whether any rule allows a host."""
    return any(rule.fits(host, port) for rule in rules)


def not_public(address: Address) -> str | None:
    """Why code inside may not reach an address, None where it is one of the public internet."""
    if address in _METADATA:
        return "a cloud's own service"
    if address.is_multicast:
        return "multicast"
    if isinstance(address, ipaddress.IPv6Address) and _stands_for_ipv4(address):
        return "an IPv4 address in disguise"
    if address.is_loopback:
        return "loopback"
    public = address.is_global and not any(address in network for network in _RESERVED)
    return None if public else "not of the public internet"


def _stands_for_ipv4(address: ipaddress.IPv6Address) -> bool:
    embedded = (address.ipv4_mapped, address.sixtofour, address.teredo)
    return any(embedded) or int(address) >> 32 == 0 or any(address in network for network in _TRANSLATED)


def parse_known(text: str) -> Mapping[str, Network]:
    """Read "mirror.example=10.0.0.7, git.example=10.1.0.0/16": the names that may stand for such addresses.

    Raises:
        ValueError: an entry is not like that; in one line.
    """
    known: dict[str, Network] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, network = entry.partition("=")
        host = host_name(name.strip())
        if host is None:
            raise ValueError(f"{entry!r} is not like mirror.example=10.0.0.7")
        try:
            known[host] = ipaddress.ip_network(network.strip())
        except ValueError:
            raise ValueError(f"{entry!r}: {network.strip()!r} is neither an address nor a network") from None
    return known
