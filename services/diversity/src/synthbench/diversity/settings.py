"""Settings of diversity."""

from pydantic import Field

from synthbench.chassis.settings import Settings


class DiversitySettings(Settings):
    """Beside the common ones."""

    duplicate_similarity: float = Field(default=0.8, gt=0, le=1)
    """Estimated Jaccard similarity from which a trajectory is a duplicate."""
    max_per_task: int | None = Field(default=None, ge=1)
    """Trajectories admitted of one task; the rest is labelled `capped`."""
