"""Leased slices of budgets: a replica spends out of them without asking the record at each call. Pure.

An account has a cap. What is `spent` is written down, what is `leased` lies as slices with replicas; the two together
never pass the cap by any lease. A replica reserves out of its own slice, so no call can be admitted that its slice
does not cover, and no two replicas can admit the same money. What a call costs leaves the slice and becomes spent in
one transaction, which leaves their sum as it was.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from synthbench.llm_gateway.budgets.domain.accounts import Account

_CALLS_AHEAD = 8
_SHARES = 2
"""A replica takes at most one part in `_SHARES * replicas` of what is free: the rest is for the others."""


@dataclass(frozen=True)
class AccountBalance:
    """The balance of an account in the record, in millionths of a US dollar."""

    cap: int | None
    spent: int = 0
    leased: int = 0
    epoch: int = 0

    @property
    def free(self) -> int:
        """Money that can still be leased; only of a capped account."""
        assert self.cap is not None
        return self.cap - self.spent - self.leased

    def used_up(self, need: int) -> bool:
        """Whether a call of this size can never be paid any more, whatever the calls on their way turn out to cost."""
        return self.cap is not None and self.spent + need > self.cap


def grant(free: int, needs: Sequence[int], lately: int, replicas: int, *, idle: int = 0) -> int:
    """Return how much to lease.

    Much while much is there, so that the next calls need not ask; near the cap no more than the calls at hand.

    Args:
        free: what the account can still lease.
        needs: what each call at hand may cost at most, in the order in which they came; at least one.
        lately: what this replica spent of the account within the last seconds.
        replicas: how many share the account.
        idle: what this replica holds of it and no call has; it is for the calls at hand in their order.

    Returns:
        0 where the first call that `idle` does not cover is not covered by `free` either, whatever those after it need;
        else between what that call lacks and `free`.
    """
    first = max(1, _first_lack(needs, idle))
    if free < first:
        return 0
    wanted = max(sum(needs) - idle, _CALLS_AHEAD * max(needs), 2 * lately)
    fair = free // (_SHARES * max(1, replicas))
    return max(first, min(wanted, fair))


def _first_lack(needs: Sequence[int], idle: int) -> int:
    """Return what is missing for the first call that idle money does not cover; 0 where it covers all."""
    for need in needs:
        if need > idle:
            return need - idle
        idle -= need
    return 0


@dataclass
class Slice:
    """The money of one account that this replica holds, in millionths of a US dollar."""

    leased: int = 0
    reserved: int = 0
    """Money set aside for calls on their way."""
    settled: int = 0
    """Money spent by calls that are not written yet."""
    peak: int = 0
    """The most that was in use since the last tick."""
    lately: int = 0
    """Money spent between the last two ticks."""
    _since: int = 0

    @property
    def idle(self) -> int:
        """Money that the next call can reserve."""
        return self.leased - self.reserved - self.settled

    def reserve(self, amount: int) -> None:
        """Set money aside that is idle."""
        assert amount <= self.idle
        self.reserved += amount
        self.peak = max(self.peak, self.reserved + self.settled)

    def settle(self, amount: int, cost: int) -> None:
        """End a call that had `amount` set aside, and cost `cost`."""
        self.reserved -= amount
        self.settled += cost
        self._since += cost

    def written(self, cost: int) -> None:
        """Take the cost of a call out: it was written as spent, and has left the slice in the record."""
        self.settled -= cost
        self.leased -= cost

    def tick(self) -> int:
        """Return what is not needed here: idle money beyond what was in use lately. Call it once in a while."""
        busy = max(self.peak, self.lately)
        surplus = max(0, self.idle - 2 * busy)
        self.peak = self.reserved + self.settled
        self.lately, self._since = self._since, 0
        return surplus


NOTHING_OWED: Mapping[str, int] = MappingProxyType({})


@dataclass
class BudgetSlices:
    """Every slice that one replica holds, by scope."""

    slices: dict[str, Slice] = field(default_factory=dict[str, Slice])
    uncapped: set[str] = field(default_factory=set[str])
    """Accounts that are known to have no cap."""
    on_their_way: int = 0
    """Reservations that are neither settled nor released."""

    def short(self, accounts: Iterable[Account], amount: int, owed: Mapping[str, int] = NOTHING_OWED) -> dict[str, int]:
        """Return what the slices lack for a call, by account.

        Args:
            accounts: that the call is charged to.
            amount: what it needs of each.
            owed: what lies in the slices for others, by account.
        """
        lacks = {
            account.scope: amount + owed.get(account.scope, 0) - self.idle(account.scope)
            for account in accounts
            if account.scope not in self.uncapped
        }
        return {scope: lack for scope, lack in lacks.items() if lack > 0}

    def idle(self, scope: str) -> int:
        """Return the money that the next call can reserve of one account."""
        found = self.slices.get(scope)
        return found.idle if found else 0

    def reserve(
        self, accounts: Sequence[Account], amount: int, owed: Mapping[str, int] = NOTHING_OWED
    ) -> tuple[str, ...] | None:
        """Set money aside on every capped account at once, or on none; return where it was set aside.

        Args:
            accounts: that the call is charged to.
            amount: what it needs of each.
            owed: what lies in the slices for others, by account.
        """
        if self.short(accounts, amount, owed):
            return None
        scopes = tuple(account.scope for account in accounts if account.scope not in self.uncapped)
        for scope in scopes:
            self.slices[scope].reserve(amount)
        self.on_their_way += 1
        return scopes

    def add(self, scope: str, amount: int) -> None:
        """Add a lease that was granted."""
        self.slices.setdefault(scope, Slice()).leased += amount

    def take(self, scope: str, amount: int) -> None:
        """Take idle money out that goes back to the account."""
        mine = self.slices[scope]
        assert amount <= mine.idle
        mine.leased -= amount

    def settle(self, scopes: Iterable[str], amount: int, cost: int) -> None:
        """End a call: release what it had set aside, and count its cost as settled."""
        for scope in scopes:
            self.slices[scope].settle(amount, cost)
        self.on_their_way -= 1

    def written(self, scopes: Iterable[str], cost: int) -> None:
        """Take the cost of a call out of the slices: it was written as spent."""
        if cost:  # else the slice may be gone by now, with nothing in it
            for scope in scopes:
                self.slices[scope].written(cost)

    def surplus(self) -> dict[str, int]:
        """Return what can go back, by scope. Call it once in a while."""
        found = {scope: mine.tick() for scope, mine in self.slices.items()}
        return {scope: amount for scope, amount in found.items() if amount > 0}

    def forget_empty(self) -> None:
        """Drop slices that hold nothing and are not in use."""
        empty = [s for s, mine in self.slices.items() if not (mine.leased or mine.reserved or mine.settled)]
        for scope in empty:
            del self.slices[scope]
