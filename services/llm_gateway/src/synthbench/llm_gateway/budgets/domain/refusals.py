"""Refusals of calls that no budget pays for. Pure."""

from synthbench.llm_gateway.budgets.domain.accounts import SHARED, kind_of
from synthbench.llm_gateway.budgets.domain.slices import AccountBalance
from synthbench.wire.refusal import Refusal


def used_up(scope: str, standing: AccountBalance, need: int) -> Refusal:
    """Return the 402 for an account that can never pay for a call of this size any more."""
    assert standing.cap is not None
    kind, _, name = scope.partition("/")
    what = f"the {kind}'s cap" if kind in ("attempt", "submission") else f"the cap of {kind} {name}"
    code = "budget_exhausted" if kind_of(scope) in SHARED else "cost_limit"
    return Refusal(
        402,
        code,
        f"{what} is {standing.cap / 1e6:.4f} USD; {standing.spent / 1e6:.4f} are spent, "
        f"and this call could cost {need / 1e6:.4f}",
    )


def tied_up(scope: str, standing: AccountBalance, need: int) -> Refusal:
    """Return the 429 for an account that has nothing free now, and may have something later."""
    kind, _, name = scope.partition("/")
    return Refusal(
        429,
        "budget_tied_up",
        f"what is left of {kind} {name} is set aside for calls on their way ({standing.leased / 1e6:.4f} USD), "
        f"and this one could cost {need / 1e6:.4f}; try again when they have ended",
        retry_after=1.0,
    )
