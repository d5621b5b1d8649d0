"""Settings of quality."""

from pydantic import Field

from synthbench.chassis.settings import Settings


class QualitySettings(Settings):
    """Beside the common ones."""

    accept_aggregate: float = Field(default=0.7, ge=0, le=1)
    """A correct trajectory is accepted from this aggregate on."""
    max_verifications: int = Field(default=3, ge=1)
    """Tries of the second verification, when ours fail."""
