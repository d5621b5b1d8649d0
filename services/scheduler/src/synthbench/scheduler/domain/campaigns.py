"""Decisions on campaigns: pausing one whose budget is used up, and who may cap one or submit into it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from synthbench.contracts.events import BudgetExhausted, TaskSubmitted
from synthbench.contracts.records import FieldError

EVERYTHING = "*"
"""All campaigns, but for simulated rollouts, which cost nothing."""


@dataclass(frozen=True)
class Pause:
    """A pause of one campaign, or of everything that costs money."""

    campaign: str
    reason: str
    epoch: int
    until: datetime | None = None
    """None: until somebody resumes it."""


def pause_for(exhausted: BudgetExhausted) -> Pause:
    """Return what to do about a used-up budget: a campaign's own pauses it, the calendar's pauses all that cost."""
    money = f"{exhausted.spent_microusd / 1e6:.4f} of {exhausted.limit_microusd / 1e6:.4f} USD are spent"
    state = "used up" if exhausted.spent_microusd >= exhausted.limit_microusd else "too small for the next call"
    if exhausted.budget == "campaign":
        name = exhausted.scope.removeprefix("campaign/")
        more = "synth-bench campaigns resume {name} --max-cost-usd …"
        return Pause(name, f"budget of campaign {name} {state}: {money}; `{more.format(name=name)}`", exhausted.epoch)
    return Pause(EVERYTHING, f"budget of {exhausted.scope.replace('/', ' ')} {state}: {money}", 0, exhausted.until)


@dataclass(frozen=True)
class CampaignRights:
    """The owner of a campaign's cap, and whether others than one submitter take part in the campaign."""

    owner: str | None
    """The client whose cap it has; None for nobody's, or the operator's."""
    shared: bool
    """Whether anybody else submits into it."""


def campaign_errors(submitter: str, submitted: TaskSubmitted, rights: CampaignRights) -> list[FieldError]:
    """Refuse to submit into a campaign whose cap is another client's, or to cap what others submit into."""
    if rights.owner not in (None, submitter):
        return [FieldError(field="campaign", message=f"{submitted.campaign} is another submitter's")]
    if submitted.campaign_cost_microusd is not None and rights.owner is None and rights.shared:
        why = f"others submit into {submitted.campaign}, too; name a campaign of your own"
        return [FieldError(field="campaign_cost_microusd", message=why)]
    return []
