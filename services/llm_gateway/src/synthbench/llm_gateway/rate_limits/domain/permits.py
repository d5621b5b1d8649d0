"""Limits of requests and tokens a minute and of calls at once, shared by replicas as leased permits. Pure.

As with money (`slices`), a replica leases permits ahead and lets calls in out of its pool. Permits of a minute must be
used within `FRESH_SECONDS` of their lease, and count until a minute after that: what is let in within any minute never
passes the limit, and what a dead replica held runs out by itself. Times are seconds of a monotonic clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from synthbench.contracts.ids import uuid7
from synthbench.llm_gateway.domain.catalogue import RateLimitTable

FRESH_SECONDS = 2.0
_CONCURRENCY, _REQUESTS, _TOKENS = "concurrency", "requests", "tokens"


@dataclass(frozen=True)
class Limit:
    """One limit of a model or of a provider."""

    scope: str
    """`<measure>/model/<name>` or `<measure>/provider/<name>`."""
    most: int

    @property
    def measure(self) -> str:
        """`requests` or `tokens` (a minute), or `concurrency`."""
        return self.scope.partition("/")[0]

    @property
    def at_once(self) -> bool:
        """Whether it is about calls at once, not about a minute."""
        return self.measure == _CONCURRENCY

    def __str__(self) -> str:
        _, kind, name = self.scope.split("/", 2)
        return f"{self.most} {'calls at once' if self.at_once else f'{self.measure} a minute'} of {kind} {name}"

    def need(self, tokens: int) -> int:
        """Return the permits that a call takes; one that is larger than the limit takes all of them."""
        return min(tokens, self.most) if self.measure == _TOKENS else 1


def limits_of(kind: str, name: str, table: RateLimitTable | None) -> tuple[Limit, ...]:
    """Return the limits that the catalogue names for a `model` or a `provider`."""
    if table is None or not table.limited:
        return ()
    named = {_CONCURRENCY: table.concurrency, _REQUESTS: table.rpm, _TOKENS: table.tpm}
    return tuple(Limit(f"{measure}/{kind}/{name}", most) for measure, most in named.items() if most is not None)


Taken = tuple[tuple[UUID, int], ...]
"""Parts of leases: their ids, and how much of each."""


@dataclass(frozen=True)
class GrantedPermits:
    """The permits that a call was granted."""

    slots: tuple[str, ...] = ()
    tokens: tuple[Taken, ...] = ()


FREE = GrantedPermits()
"""Of a call that nothing limits."""


@dataclass
class ConcurrencySlots:
    """Calls at once that this replica may make: one lease, which lives as long as it is renewed."""

    id: UUID = field(default_factory=uuid7)
    held: int = 0
    busy: int = 0
    recorded: int | None = 0
    """What the record has; None where an answer of the record was lost."""
    _peak: int = 0

    def take(self) -> None:
        """Begin a call."""
        self.busy += 1
        self._peak = max(self._peak, self.busy)

    def leave(self, share: int) -> None:
        """End a call; a replica that holds more than its share leaves the slot to others, though its own calls wait."""
        self.busy -= 1
        if self.held > share:
            self.held -= 1

    def tick(self) -> None:
        """Let go of what was not needed since the last tick."""
        self.held = max(self.busy, min(self.held, self._peak))
        self._peak = self.busy


@dataclass
class PermitLease:
    """Permits of one limit a minute, leased together."""

    id: UUID
    left: int
    fresh_until: float


@dataclass
class PermitPool:
    """The permits that one replica holds."""

    slots: dict[str, ConcurrencySlots] = field(default_factory=dict[str, ConcurrencySlots])
    leases: dict[str, list[PermitLease]] = field(default_factory=dict[str, list[PermitLease]])
    corrections: dict[UUID, int] = field(default_factory=dict[UUID, int])
    """Permits, by lease, that were not used after all; negative where more was used."""
    lately: dict[str, int] = field(default_factory=dict[str, int])
    """Permits of a minute that were taken between the last two ticks."""
    _taken: dict[str, int] = field(default_factory=dict[str, int])

    def idle(self, limit: Limit, now: float) -> int:
        """Return the permits that the next call can take."""
        if limit.at_once:
            mine = self.slots.get(limit.scope)
            return mine.held - mine.busy if mine else 0
        return sum(lease.left for lease in self.leases.get(limit.scope, ()) if lease.fresh_until > now)

    def short(self, needs: Mapping[Limit, int], now: float) -> list[Limit]:
        """Return the limits of which a call cannot have what it needs."""
        return [limit for limit, need in needs.items() if self.idle(limit, now) < need]

    def take(self, needs: Mapping[Limit, int], now: float) -> GrantedPermits:
        """Take the permits of a call for which `short` finds none missing."""
        slots: list[str] = []
        tokens: list[Taken] = []
        for limit, need in needs.items():
            if limit.at_once:
                self.slots[limit.scope].take()
                slots.append(limit.scope)
            else:
                taken = self._cut(limit, need, now)
                tokens += [taken] if limit.measure == _TOKENS else []
        return GrantedPermits(tuple(slots), tuple(tokens))

    def _cut(self, limit: Limit, need: int, now: float) -> Taken:
        taken: list[tuple[UUID, int]] = []
        self._taken[limit.scope] = self._taken.get(limit.scope, 0) + need
        for lease in self.leases.get(limit.scope, ()):
            part = min(need, lease.left) if lease.fresh_until > now else 0
            if part:
                lease.left -= part
                need -= part
                taken.append((lease.id, part))
        return tuple(taken)

    def leave(self, entered: GrantedPermits, tokens: int | None, shares: Mapping[str, int]) -> None:
        """End a call.

        Args:
            entered: what it took.
            tokens: that it used; None where nobody knows, and what it took stays taken.
            shares: of slots, by scope, that this replica may keep.
        """
        for scope in entered.slots:
            self.slots[scope].leave(shares.get(scope, 0))
        for taken in entered.tokens if tokens is not None else ():
            unused = sum(part for _, part in taken) - (tokens or 0)
            for lease, part in taken:
                correction = min(unused, part)
                unused -= correction
                if correction:
                    self.corrections[lease] = self.corrections.get(lease, 0) + correction

    def tick(self, now: float) -> None:
        """Let go of what is idle: slots that were not needed, and permits that are not fresh any more."""
        self.lately, self._taken = self._taken, {}
        for mine in self.slots.values():
            mine.tick()
        for scope, leases in list(self.leases.items()):
            for lease in leases:
                if lease.fresh_until <= now and lease.left:
                    self.corrections[lease.id] = self.corrections.get(lease.id, 0) + lease.left
            self.leases[scope] = [lease for lease in leases if lease.fresh_until > now and lease.left]


def in_turn(waiting: Iterable[Mapping[Limit, int]], pool: PermitPool, now: float) -> int | None:
    """Return the place of the first call that may enter; None for nobody.

    First come, first served: nobody overtakes the call that is the first to wait for a limit, however small.
    """
    blocked: set[Limit] = set()
    for place, needs in enumerate(waiting):
        if blocked & needs.keys():
            continue
        short = pool.short(needs, now)
        if not short:
            return place
        blocked.update(short)
    return None
