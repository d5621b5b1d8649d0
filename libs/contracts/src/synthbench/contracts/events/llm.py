"""What passed through the llm-gateway."""

from datetime import datetime
from uuid import UUID

from synthbench.contracts.events.scope import AttemptEvent
from synthbench.contracts.records import Usage


class LlmCalled(AttemptEvent):
    """One model call, or one failed try of one."""

    call_id: UUID
    route: str
    provider: str
    model: str
    outcome: str
    """`ok`, or the kind of failure: `upstream_status`, `upstream_unreachable`, `upstream_reset`, `upstream_garbage`,
    `broken_stream`, `caller_gone`, …"""
    status: int = 0
    """HTTP status that the caller got."""
    usage: Usage = Usage()
    latency_seconds: float = 0.0
    started_at: datetime
    wire: str = ""
    """The caller's: `openai` or `anthropic`."""
    stream: bool = False
    try_number: int = 0
    """1, 2, … within what the caller sees as one call."""
    first_token_seconds: float | None = None
    waited_seconds: float = 0.0
    """Our own waits before this try: rate limits and pauses. Not on the agent's clock."""
    choice: str = ""
    """Why this model: strategy, place among the candidates, what failed before."""
    dropped: list[str] = []
    """What did not carry over to the provider's wire, by name."""
