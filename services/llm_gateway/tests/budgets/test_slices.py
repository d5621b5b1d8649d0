"""Slices of budgets: whatever replicas do, in whatever order, and whoever dies, nothing is spent twice."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.budgets.domain.accounts import Account, Caps, accounts_of, ends_at
from synthbench.llm_gateway.budgets.domain.slices import AccountBalance, BudgetSlices, grant

MONEY = st.integers(1, 1000)


@given(
    free=st.integers(-100, 10_000), needs=st.lists(MONEY, min_size=1, max_size=8), lately=st.integers(0, 5000),
    replicas=st.integers(0, 9),
)  # fmt: skip
def test_a_grant_covers_a_call_or_is_none(free: int, needs: list[int], lately: int, replicas: int):
    amount = grant(free, needs, lately, replicas)
    if free < needs[0]:
        assert amount == 0, "the oldest call decides, not the smallest"
    else:
        assert needs[0] <= amount <= free
        assert amount == needs[0] or amount <= free // 2, "much only where much is there"


def test_near_the_cap_a_grant_is_a_single_call():
    assert grant(1_000_000, [10], 0, 3) == 80
    assert grant(100, [10], 0, 3) == 16
    assert grant(25, [10], 500, 3) == 10


SCOPE = "campaign/c"


@dataclass
class Gateway:
    """One replica: its budgets, its calls on their way, and what it has not written down."""

    budgets: BudgetSlices = field(default_factory=BudgetSlices)
    calls: list[int] = field(default_factory=list)
    unwritten: list[int] = field(default_factory=list)
    presumed: int | None = None
    """What the record presumes that it spent; None while it is not taken for dead."""

    @property
    def held(self) -> int:
        return sum(piece.leased for piece in self.budgets.slices.values())


class Budget(RuleBasedStateMachine):
    """One account, three gateways; the record's side as `count_spend`, `lease`, `give_back`, `presume_spent` and
    `forgive` have it. Who is fenced may be dead, or come back and settle late."""

    @initialize(cap=st.integers(0, 5000))
    def open(self, cap: int):
        self.cap, self.spent, self.leased, self.truly, self.never_told = cap, 0, 0, 0, 0
        self.account = [Account(SCOPE, cap)]
        self.gateways = [Gateway() for _ in range(3)]
        self.ghosts: list[Gateway] = []
        """Buried, and alive: they have calls on their way still."""

    def standing(self) -> AccountBalance:
        return AccountBalance(self.cap, self.spent, self.leased)

    @rule(who=st.integers(0, 2), need=MONEY)
    def admit(self, who: int, need: int):
        mine = self.gateways[who]
        if mine.budgets.short(self.account, need):
            held = mine.budgets.idle(SCOPE)
            amount = grant(self.standing().free, [max(1, need - held)], 0, 3)
            if amount:
                self.leased += amount
                mine.budgets.add(SCOPE, amount)
        if mine.budgets.reserve(self.account, need) is not None:
            mine.calls.append(need)

    def end_a_call(self, mine: Gateway, share: float, data: st.DataObject):
        reserved = mine.calls.pop(data.draw(st.integers(0, len(mine.calls) - 1)))
        cost = int(reserved * share)
        self.truly += cost
        mine.budgets.settle([SCOPE], reserved, cost)
        mine.unwritten.append(cost)

    @rule(who=st.integers(0, 2), share=st.floats(0, 1), data=st.data())
    def settle(self, who: int, share: float, data: st.DataObject):
        if self.gateways[who].calls:
            self.end_a_call(self.gateways[who], share, data)

    @rule(who=st.integers(0, 2))
    def write(self, who: int):
        mine = self.gateways[who]
        for cost in mine.unwritten:
            self.spent += cost
            self.leased -= cost
            mine.budgets.written([SCOPE], cost)
        mine.unwritten.clear()

    @rule(who=st.integers(0, 2))
    def tick(self, who: int):
        mine = self.gateways[who]
        for scope, amount in mine.budgets.surplus().items():
            mine.budgets.take(scope, amount)
            self.leased -= amount
        mine.budgets.forget_empty()

    def fence(self, who: int) -> Gateway:
        mine = self.gateways[who]
        mine.presumed = mine.held
        self.leased -= mine.presumed
        self.spent += mine.presumed
        self.gateways[who] = Gateway()
        return mine

    @rule(who=st.integers(0, 2))
    def die(self, who: int):
        """Its calls on their way may have cost all that was set aside; nobody will ever say."""
        dead = self.fence(who)
        self.truly += sum(dead.calls)
        self.never_told += dead.held

    @rule(who=st.integers(0, 2))
    def stand_still(self, who: int):
        """It is fenced, and goes on under a new name; under the old one it still has calls on their way."""
        self.ghosts.append(self.fence(who))

    @precondition(lambda self: self.ghosts)
    @rule(share=st.floats(0, 1), data=st.data())
    def settle_late(self, share: float, data: st.DataObject):
        """Spent was counted before: the call's cost is presumed no more."""
        ghost = data.draw(st.sampled_from(self.ghosts))
        if ghost.calls:
            self.end_a_call(ghost, share, data)
        for cost in ghost.unwritten:
            assert ghost.presumed is not None
            ghost.presumed -= cost
            ghost.budgets.written([SCOPE], cost)
        ghost.unwritten.clear()

    @precondition(lambda self: any(not ghost.calls and not ghost.unwritten for ghost in self.ghosts))
    @rule()
    def forgive(self):
        """With nothing left on its way, what is still presumed was never spent."""
        for ghost in [one for one in self.ghosts if not one.calls and not one.unwritten]:
            assert ghost.presumed is not None
            assert ghost.presumed >= 0
            self.spent -= ghost.presumed
            self.ghosts.remove(ghost)

    @invariant()
    def never_overspent(self):
        if not hasattr(self, "gateways"):
            return
        everybody = [*self.gateways, *self.ghosts]
        on_their_way = sum(sum(gateway.calls) for gateway in everybody)
        assert self.truly + on_their_way <= self.spent + self.leased <= self.cap
        assert self.leased == sum(gateway.held for gateway in self.gateways)
        for gateway in everybody:
            assert gateway.budgets.idle(SCOPE) >= 0
            assert gateway.budgets.on_their_way == len(gateway.calls)

    def teardown(self):
        """When everybody has told all, the record says the truth, but for what died."""
        if not hasattr(self, "gateways"):
            return
        for gateway in (*self.gateways, *self.ghosts):
            self.truly += sum(gateway.calls)
            unwritten = sum(gateway.calls) + sum(gateway.unwritten)
            self.spent += unwritten if gateway.presumed is None else unwritten - gateway.held
        assert self.truly <= self.spent <= self.truly + self.never_told


TestBudget = Budget.TestCase
TestBudget.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_idle_money_goes_back_and_what_is_in_use_stays():
    budgets, account = BudgetSlices(), [Account("day/2026-11-24", 1000)]
    budgets.add("day/2026-11-24", 500)
    assert budgets.reserve(account, 100) == ("day/2026-11-24",)
    assert budgets.surplus() == {"day/2026-11-24": 200}
    budgets.take("day/2026-11-24", 200)
    budgets.settle(["day/2026-11-24"], 100, 0)
    budgets.surplus()
    assert budgets.surplus() == {"day/2026-11-24": 300}


def claims(**changes: Any) -> AttemptClaims:
    given: dict[str, Any] = {
        "submission_id": uuid4(), "campaign": "c", "rollout_id": uuid4(), "attempt": 2, "route": "gpt",
        "task_digest": "sha256:" + "0" * 64, "max_cost_microusd": 10, "submission_cost_microusd": 20,
    }  # fmt: skip
    return AttemptClaims(**(given | changes))


def test_a_call_is_charged_to_five_accounts_and_the_calendar_is_utc():
    key = claims(campaign_cost_microusd=30, campaign_epoch=4)
    late = datetime(2026, 11, 30, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    found = {account.kind: account for account in accounts_of(key, Caps(40, None), late)}
    assert found["attempt"] == Account(f"attempt/{key.rollout_id}/2", 10)
    assert found["submission"] == Account(f"submission/{key.submission_id}", 20)
    assert found["campaign"] == Account("campaign/c", 30, 4)
    assert found["day"] == Account("day/2026-12-01", 40)
    assert found["month"] == Account("month/2026-12", None)


@pytest.mark.parametrize(
    ("scope", "end"),
    [
        ("day/2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("month/2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
        ("month/2026-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("campaign/day", None),
    ],
)
def test_when_a_budget_begins_anew(scope: str, end: datetime | None):
    assert ends_at(scope) == end
