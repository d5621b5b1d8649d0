"""Whether a task that keeps failing is set aside. Pure."""

from dataclasses import dataclass

LEAST_SOURCES = 2
"""One submitter may fail by what it brings along, such as its own model; others keep the task."""


@dataclass(frozen=True)
class TaskFailures:
    """Failures of ours with one task since it last worked, without those that one model alone may have caused."""

    failures: int
    """Minutes of executors in which attempts failed: an executor that dies takes all its attempts along."""
    rollouts: int
    """Different ones of them."""
    sources: int
    """Different submitters of these rollouts; different campaigns of them, where there is one submitter only."""
    executors: int
    """That claimed anything within the last hour."""
    others_fare_better: bool
    """Whether attempts of other tasks ended by the agent's own doing meanwhile."""


def set_aside(found: TaskFailures, least: int) -> bool:
    """Decide whether the task is to blame: so many failures, over as many rollouts, of different sources.

    Where one executor serves all, a broken task stops everything: then one source is enough.
    """
    enough_sources = found.sources >= LEAST_SOURCES or found.executors <= 1
    return min(found.failures, found.rollouts) >= least and enough_sources and found.others_fare_better
