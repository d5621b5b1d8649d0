"""What a used-up budget pauses. Pure."""

from dataclasses import dataclass
from datetime import datetime

from synthbench.contracts.events import BudgetExhausted

EVERYTHING = "*"
"""All campaigns, but for simulated rollouts, which cost nothing."""


@dataclass(frozen=True)
class Pause:
    """Which campaign pauses, until when and why."""

    campaign: str
    reason: str
    epoch: int
    until: datetime | None = None
    """None: until somebody resumes it."""


def pause_for(said: BudgetExhausted) -> Pause:
    """Return what to do about a used-up budget: a campaign's own pauses it, the calendar's pauses all that cost."""
    money = f"{said.spent_microusd / 1e6:.4f} of {said.limit_microusd / 1e6:.4f} USD are spent"
    state = "used up" if said.spent_microusd >= said.limit_microusd else "too small for the next call"
    if said.budget == "campaign":
        name = said.scope.removeprefix("campaign/")
        more = "synth-bench campaigns resume {name} --max-cost-usd …"
        return Pause(name, f"budget of campaign {name} {state}: {money}; `{more.format(name=name)}`", said.epoch)
    return Pause(EVERYTHING, f"budget of {said.scope.replace('/', ' ')} {state}: {money}", 0, said.until)
