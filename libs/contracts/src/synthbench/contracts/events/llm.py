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
    """`ok`, or the kind of failure: `refused`, `upstream_status`, `upstream_unreachable`, `upstream_garbage`, …"""
    status: int = 0
    """HTTP status that the caller got."""
    usage: Usage = Usage()
    latency_seconds: float = 0.0
    started_at: datetime
