"""The egress of one sandbox through the proxy: its limits, its counts, and the checks of every connection."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from synthbench.sandbox.domain.reach import Address, Allowed, Network, allows, not_public, printable_host

CONNECTIONS = 64
"""Connections of one sandbox at once; further ones wait until one ends."""
BYTES = 8 * 1024**3
"""Bytes of one sandbox in both directions, as long as it lives."""
_LOOKUPS = 2
REFUSED_MOST = 100
"""Refused hosts of one sandbox that are reported; later ones are refused without a report."""


class HostRefused(Exception):
    """The sandbox may not do this.

    Args:
        host: "name:port" as it was asked for.
        why: in words for whoever is inside.
    """

    def __init__(self, host: str, why: str) -> None:
        self.host = host
        self.why = why
        super().__init__(f"{host}: {why}")


class HostUnreachable(Exception):
    """The host is allowed, but cannot be reached."""


class TrafficSpent(Exception):
    """The sandbox has moved all the bytes that it may."""


@dataclass(frozen=True)
class EgressTimeouts:
    """Seconds after which a wait has its end.

    Attributes:
        head: until a request's head, or a tunnel's greeting, is whole.
        lookup: until a name has its addresses.
        connect: until an address answers.
        idle: without a byte in either direction.
        life: of a connection.
    """

    head: float = 15.0
    lookup: float = 10.0
    connect: float = 10.0
    idle: float = 120.0
    life: float = 3600.0


@dataclass
class SandboxEgress:
    """The network access of one sandbox, as the proxy enforces it.

    Attributes:
        rules: where it leads.
        known: names whose addresses the operator vouches for.
        refused: told of each new refusal, up to a bound.
        bytes_left: both ways.
        connections: bounds how many are served at once.
        patience: how long anything is waited for.
    """

    rules: Sequence[Allowed]
    known: Mapping[str, Network]
    refused: Callable[[HostRefused], None]
    bytes_left: int = BYTES
    connections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))
    patience: EgressTimeouts = EgressTimeouts()
    _lookups: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOOKUPS))
    _seen: set[str] = field(default_factory=set[str])

    def spend(self, count: int) -> None:
        """Count bytes that passed.

        Raises:
            TrafficSpent: there were too many.
        """
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise TrafficSpent

    def refuse(self, refused: HostRefused) -> None:
        """Report a refusal, each host once."""
        host = printable_host(refused.host)
        if host not in self._seen and len(self._seen) < REFUSED_MOST:
            self._seen.add(host)
            self.refused(HostRefused(host, refused.why))

    def check(self, host: str, port: int) -> None:
        """Check whether a name is allowed.

        Raises:
            HostRefused: it is not.
        """
        if not allows(self.rules, host, port):
            allowed = ", ".join(map(str, self.rules)) or "none"
            raise HostRefused(f"{host}:{port}", f"this sandbox may not reach it (allowed: {allowed})")

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to an allowed name, by the very address that was checked.

        Raises:
            HostRefused: not allowed, or it stands for an address that is not.
            HostUnreachable: it has no address, or nobody answers there.
        """
        self.check(host, port)
        for address in await self._addresses(host, port):
            with suppress(OSError):
                async with asyncio.timeout(self.patience.connect):
                    return await asyncio.open_connection(str(address), port)
        raise HostUnreachable(f"{host}:{port} does not answer")

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        known = self.known.get(host)
        if known is not None and known.num_addresses == 1:
            return [known.network_address]
        found = await self._resolve(host, port)
        if known is not None:
            fine = [address for address in found if address in known]
            reasons = [f"not in {known}"]
        else:
            checked = [(address, not_public(address) or _ours(address)) for address in found]
            fine = [address for address, reason in checked if reason is None]
            reasons = sorted({reason for _, reason in checked if reason is not None})
        if not fine:
            raise HostRefused(f"{host}:{port}", f"its address is {', '.join(reasons)}")
        return fine

    async def _resolve(self, host: str, port: int) -> Sequence[Address]:
        loop = asyncio.get_running_loop()
        try:
            async with self._lookups, asyncio.timeout(self.patience.lookup):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise HostUnreachable(f"{host} has no address") from error
        return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _ours(address: Address) -> str | None:
    """Return a reason where an address is this machine's own, which alone can be bound; else None."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return None
    return "this machine's own"
