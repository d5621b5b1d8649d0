"""Events of the llm-gateway: model calls, and budgets that are used up."""

from typing import Literal
from uuid import UUID

from synthbench.contracts.events.scope import AttemptEvent, SubmissionEvent
from synthbench.contracts.numbers import Count, Moment, Real, SmallCount
from synthbench.contracts.records import Usage
from synthbench.contracts.text import JsonText, Line, Name


class LlmCalled(AttemptEvent):
    """One model call, or one failed try of one."""

    call_id: UUID
    route: Name
    provider: Name
    model: Name
    outcome: Name
    """`ok`, or the kind of failure: `upstream_status`, `upstream_unreachable`, `upstream_reset`, `upstream_garbage`,
    `broken_stream`, `caller_gone`, …"""
    status: SmallCount = 0
    """HTTP status that the caller got."""
    usage: Usage = Usage()
    latency_seconds: Real = 0.0
    started_at: Moment
    wire: Name = ""
    """The caller's: `openai` or `anthropic`."""
    stream: bool = False
    try_number: SmallCount = 0
    """1, 2, … within what the caller sees as one call."""
    first_token_seconds: Real | None = None
    waited_seconds: Real = 0.0
    """Between the call's beginning and this try: pauses and tries that failed. Not on the agent's clock."""
    choice: Line = ""
    """Why this model: strategy, place among the candidates, what failed before."""
    dropped: list[Name] = []
    """What did not carry over to the provider's wire, by name."""
    request_id: UUID | None = None
    """The caller's request, which every try for it names."""
    category: Name = ""
    """Of the task that the attempt works on."""
    sampling: JsonText = ""
    """JSON object as text: the sampling parameters that the provider got; empty where it got none."""
    recorded: bool = False
    """Answered from a recording: no provider was asked, and it cost nothing."""


class BudgetExhausted(SubmissionEvent):
    """A budget over more than one attempt is used up. Said again, at most once a minute, while calls still ask for it.

    The submission and campaign are those of the call that found it so.
    """

    budget: Literal["campaign", "day", "month"]
    scope: Name
    """The account: `campaign/<name>`, `day/2026-11-24`, `month/2026-11` (UTC)."""
    epoch: Count = 0
    """Which setting of the cap is used up."""
    limit_microusd: Count
    spent_microusd: Count
    """Booked so far; what is left is less than one call could cost."""
    until: Moment | None = None
    """When the budget begins anew by itself; None for a campaign's, which somebody has to raise."""
