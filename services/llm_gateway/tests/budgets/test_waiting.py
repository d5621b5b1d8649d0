"""The line of calls that wait for money: who comes first is served first, on every account and whatever it needs."""

from itertools import combinations
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.llm_gateway.budgets.domain.accounts import Account
from synthbench.llm_gateway.budgets.domain.slices import BudgetSlices, grant
from synthbench.llm_gateway.budgets.domain.waiting import WaitingCall, WaitingLine

CLAIMS = AttemptClaims(
    submission_id=uuid4(), campaign="c", rollout_id=uuid4(), attempt=1, route="gpt", task_digest="sha256:" + "0" * 64,
    max_cost_microusd=10, submission_cost_microusd=20,
)  # fmt: skip
SCOPES: tuple[str, ...] = ("campaign/c", "day/2026-11-29", "submission/a", "submission/b")


def waiting(need: int, *scopes: str, epoch: int = 0, last: bool = True) -> WaitingCall:
    return WaitingCall(CLAIMS, tuple(Account(scope, 1000, epoch) for scope in scopes), need, last)


def stand_in_line(*calls: WaitingCall) -> WaitingLine:
    line = WaitingLine()
    for call in calls:
        line.join(call)
    return line


def test_a_small_call_is_not_covered_by_what_a_large_one_before_it_needs():
    budgets, large, small = BudgetSlices(), waiting(100, "campaign/c"), waiting(10, "campaign/c")
    budgets.add("campaign/c", 60)
    line = stand_in_line(large, small)
    assert list(line.in_order(budgets)) == [(large, {"campaign/c": 40}), (small, {"campaign/c": 50})]
    assert budgets.reserve(small.accounts, 10, line.owed) is None
    line.leave(large)
    assert list(line.in_order(budgets)) == [(small, {})]


def test_a_call_that_waits_for_another_account_keeps_its_part_of_the_shared_one_and_no_more():
    budgets = BudgetSlices()
    budgets.add("campaign/c", 110)
    first = waiting(100, "campaign/c", "submission/a")
    second, third = (waiting(10, "campaign/c") for _ in range(2))
    line = stand_in_line(first, second, third)
    lacks = dict(line.in_order(budgets))
    assert lacks == {first: {"submission/a": 100}, second: {}, third: {"campaign/c": 10}}


def test_lease_requests_are_of_the_short_accounts_in_order_and_of_the_newest_cap():
    budgets = BudgetSlices()
    budgets.add("day/2026-11-29", 1000)
    old = waiting(30, "campaign/c", "day/2026-11-29", epoch=1)
    new = waiting(20, "campaign/c", "day/2026-11-29", epoch=2, last=False)
    requests = stand_in_line(old, new).lease_requests(budgets)
    assert list(requests) == ["campaign/c"]
    assert requests["campaign/c"].needs == [30, 20]
    assert requests["campaign/c"].last == [30]
    assert requests["campaign/c"].account.epoch == 2


def test_leaving_twice_owes_nothing_twice():
    call = waiting(10, "campaign/c")
    line = stand_in_line(call)
    line.leave(call)
    line.leave(call)
    assert not line.owed
    assert not line


CALLS = st.lists(st.tuples(st.integers(1, 300), st.sets(st.sampled_from(SCOPES), min_size=1)), min_size=1, max_size=12)


@settings(deadline=None)
@given(calls=CALLS, caps=st.tuples(*[st.integers(300, 1500)] * len(SCOPES)), data=st.data())
def test_calls_that_share_an_account_are_admitted_in_order_and_all_of_them(calls: list, caps: tuple, data):
    """Calls of random sizes on random accounts: money that comes back suffices for everybody, and nobody is passed."""
    budgets, free = BudgetSlices(), dict(zip(SCOPES, caps, strict=True))
    everybody = [waiting(need, *sorted(scopes)) for need, scopes in calls]
    line, admitted, running = stand_in_line(*everybody), [], []
    for _ in range(4 * len(calls)):
        for scope, request in line.lease_requests(budgets).items():
            amount = grant(free[scope], request.needs, 0, 1, idle=budgets.idle(scope))
            free[scope] -= amount
            if amount:
                budgets.add(scope, amount)
        for call, lacks in line.in_order(budgets):
            if not lacks:
                assert budgets.reserve(call.accounts, call.need) is not None
                line.leave(call)
                admitted.append(call)
                running.append(call)
        if running:
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            budgets.settle([account.scope for account in ended.accounts], ended.need, 0)
    assert set(admitted) == set(everybody)
    for earlier, later in combinations(everybody, 2):
        if set(earlier.accounts) <= set(later.accounts):
            assert admitted.index(earlier) < admitted.index(later)
