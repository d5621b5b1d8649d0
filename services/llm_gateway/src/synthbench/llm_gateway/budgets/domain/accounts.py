"""Accounts: the budgets that a call is charged to. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from synthbench.contracts.attempt_key import AttemptClaims

Kind = Literal["attempt", "submission", "campaign", "day", "month"]
SHARED: tuple[Kind, ...] = ("campaign", "day", "month")
"""Budgets whose end is nobody's own doing: they stop campaigns, not attempts."""


@dataclass(frozen=True)
class Account:
    """One budget, and its cap."""

    scope: str
    """`<kind>/<name>`."""
    cap: int | None = None
    """Millionths of a US dollar; None for what is only counted."""
    epoch: int = 0
    """Which setting of the cap this is; the ledger keeps that of the greatest."""

    @property
    def kind(self) -> Kind:
        """The kind of budget."""
        return kind_of(self.scope)


@dataclass(frozen=True)
class Caps:
    """The deployment's own budgets, in millionths of a US dollar."""

    day: int | None = None
    month: int | None = None


def kind_of(scope: str) -> Kind:
    """Return the kind of budget that a scope names."""
    return cast("Kind", scope.partition("/")[0])


def accounts_of(claims: AttemptClaims, caps: Caps, now: datetime) -> tuple[Account, ...]:
    """Return every account that a call is charged to, in the order in which they are locked.

    An attempt's own account is of that attempt alone: what was spent before a failure of ours bills the submission, the
    campaign and the calendar.
    """
    today = now.astimezone(UTC).date().isoformat()
    found = (
        Account(f"attempt/{claims.rollout_id}/{claims.attempt}", claims.max_cost_microusd),
        Account(f"campaign/{claims.campaign}", claims.campaign_cost_microusd, claims.campaign_epoch),
        Account(f"day/{today}", caps.day),
        Account(f"month/{today[:7]}", caps.month),
        Account(f"submission/{claims.submission_id}", claims.submission_cost_microusd),
    )
    return tuple(sorted(found, key=lambda account: account.scope))


def ends_at(scope: str) -> datetime | None:
    """Return when a budget of the calendar begins anew, in UTC; None for the others."""
    kind, _, name = scope.partition("/")
    if kind == "day":
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    if kind == "month":
        first = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
        return (first + timedelta(days=32)).replace(day=1)
    return None
