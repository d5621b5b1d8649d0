"""Settings of the scheduler."""

from pydantic import Field

from synthbench.chassis.settings import Settings


class SchedulerSettings(Settings):
    """Beside the common ones."""

    scaffolds: str = "native,command,mini-swe-agent,swe-agent,openhands,oracle,nop,cheat,wrong"
    """Scaffolds that executors have, comma-separated."""
    allow_process_engine: bool = False
    gateway_url: str | None = None
    """Of the llm-gateway, which is asked whether a submission's route can be used; without it nobody is asked."""
    ready_limit: int = Field(default=8, ge=1)
    """Rollouts of a pool on the ready queue at once: about twice its executors' permits."""
    lease_seconds: float = Field(default=30.0, ge=1)
    """An attempt whose executor is silent for so long is closed as infra_error."""
    max_attempts: int = Field(default=3, ge=1)
    quarantine_failures: int = Field(default=6, ge=1)
    """So many rollouts of different submitters (or campaigns of one) that failed by our doing set their task aside."""
    ready_overdue_seconds: float = Field(default=900.0, gt=0)
    """A rollout that waits on the bus for so long is announced again: its message may be lost."""
    closed_overdue_seconds: float = Field(default=900.0, gt=0)
    """A counted attempt that is not curated so long after its end is announced again, and so are the answers to it."""
    money_pause_seconds: float = Field(default=10.0, ge=0)
    """Before the next attempt after one that ended for want of money; by then its campaign is paused."""
    retry_pause_seconds: float = Field(default=2.0, ge=0)
    """Before the second attempt; doubles each time."""


def names(comma_separated: str) -> tuple[str, ...]:
    """Split a list setting."""
    return tuple(part.strip() for part in comma_separated.split(",") if part.strip())
