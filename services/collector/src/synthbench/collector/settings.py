"""Settings of the collector."""

from pydantic import Field

from synthbench.chassis.settings import Settings


class CollectorSettings(Settings):
    """Settings of the collector, beside those of every service."""

    collector_batch: int = Field(default=500, ge=1)
    """Steps written in one transaction at most."""
    journal_after_seconds: float = Field(default=2.0, ge=0)
    """A closed attempt whose steps are not all there for so long is completed from the journal."""
    give_up_seconds: float = Field(default=60.0, gt=0)
    """After so long it is stored as it is, and says what is missing."""
    lost_journal_seconds: float = Field(default=86_400.0, gt=0)
    """The journal of a lost attempt is kept for the next one to resume from, but no longer than this."""
    archive_seconds: float = Field(default=10.0, ge=0)
    """How long a change of the catalogue may wait until it is in the artifact store, too."""
    hot_step_days: float = Field(default=30.0, gt=0)
    """Steps of older attempts leave Postgres, a week at a time; their trajectories have them."""
    failed_attempt_days: float | None = Field(default=None, gt=0)
    """Trajectories of attempts that do not count go after so long; unset: never."""
    keeping_seconds: float = Field(default=3600.0, gt=0)
    """How often the collector looks for what may go, and makes the partitions of the coming weeks."""
