"""Jobs and their states."""

from dataclasses import dataclass, field

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"
FINAL = (DONE, FAILED, SKIPPED)


@dataclass
class Job:
    """One job. Its name is unique."""

    name: str
    needs: list = field(default_factory=list)
    priority: int = 0
    """Larger runs first."""
    retries: int = 0
    """How often it may be tried again after a failure."""
    state: str = WAITING
    attempts: int = 0
    error: str = ""


class PlanError(ValueError):
    """A plan that cannot be run."""
