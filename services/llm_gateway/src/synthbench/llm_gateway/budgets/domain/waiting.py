"""Calls that wait for money, first come first served. Pure.

A call needs money of several accounts, and gets it of all of them at once or of none. The calls of this replica stand
in one line for all accounts together: a call is admitted when each of its accounts covers it beyond what the calls
before it need of that account. So nobody takes what was leased for an earlier call, however small the own need is;
calls that share no account do not hold each other up; and as the order is the same for every account, two calls can
never each hold what the other one waits for.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.budgets.domain.accounts import Account
from synthbench.llm_gateway.budgets.domain.slices import BudgetSlices


@dataclass(eq=False)
class WaitingCall:
    """A call that its accounts did not cover when it came."""

    claims: AttemptClaims
    accounts: tuple[Account, ...]
    need: int
    """Millionths of a US dollar that each account has to set aside."""
    last: bool = True
    """Whether no other model, which may be cheaper, comes after this one."""
    blocked_since: float | None = None
    """Seconds of the loop's clock: when the record first had nothing free for it; None while it always had."""


@dataclass
class LeaseRequest:
    """The money that the calls that wait need of one account."""

    account: Account
    claims: AttemptClaims
    """Of the first of them."""
    needs: list[int] = field(default_factory=list[int])
    """Of every call that waits and uses the account, the oldest first."""
    last: list[int] = field(default_factory=list[int])
    """Needs that the account does not cover, of calls after which no other model comes."""


class WaitingLine:
    """The calls of one replica that wait, the oldest first."""

    def __init__(self) -> None:
        self._calls: dict[WaitingCall, None] = {}
        self._owed: defaultdict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        """Return the number of calls that wait."""
        return len(self._calls)

    def __contains__(self, call: WaitingCall) -> bool:
        """Return whether a call still waits."""
        return call in self._calls

    def __iter__(self) -> Iterator[WaitingCall]:
        """Yield the calls that wait, the oldest first."""
        return iter(tuple(self._calls))

    @property
    def owed(self) -> Mapping[str, int]:
        """The money that all waiting calls need, by account: a new call may reserve idle money beyond it."""
        return self._owed

    def join(self, call: WaitingCall) -> None:
        """Add a call behind all others."""
        self._calls[call] = None
        for account in call.accounts:
            self._owed[account.scope] += call.need

    def leave(self, call: WaitingCall) -> None:
        """Remove a call that was admitted, refused or given up; one that does not wait is left alone."""
        if call not in self._calls:
            return
        del self._calls[call]
        for account in call.accounts:
            self._owed[account.scope] -= call.need
            if not self._owed[account.scope]:
                del self._owed[account.scope]

    def in_order(self, budgets: BudgetSlices) -> Iterator[tuple[WaitingCall, dict[str, int]]]:
        """Yield each call with what its accounts lack for it, the oldest call first.

        Whoever iterates may let the call leave; if it stays, what it needs is out of reach for the calls after it.
        """
        owed: defaultdict[str, int] = defaultdict(int)
        for call in self:
            yield call, budgets.short(call.accounts, call.need, owed)
            if call in self._calls:
                for account in call.accounts:
                    owed[account.scope] += call.need

    def lease_requests(self, budgets: BudgetSlices) -> dict[str, LeaseRequest]:
        """Return what has to be leased, by account: of those alone that do not cover every call."""
        requests: dict[str, LeaseRequest] = {}
        short: set[str] = set()
        for call, lacks in self.in_order(budgets):
            short.update(lacks)
            for account in call.accounts:
                request = requests.setdefault(account.scope, LeaseRequest(account, call.claims))
                request.needs.append(call.need)
                if account.epoch > request.account.epoch:
                    request.account = account
                if call.last and account.scope in lacks:
                    request.last.append(call.need)
        return {scope: requests[scope] for scope in sorted(short)}
