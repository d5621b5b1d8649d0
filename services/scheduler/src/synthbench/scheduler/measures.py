"""Metrics of the scheduler: how much waits and runs, how attempts end, and how long rollouts wait for an executor.

Routes and tasks are names that submitters choose: they are labels of gauges only, of the pairs that failed most within
the last hour, so that nobody can make the number of series grow without end.
"""

from prometheus_client import Counter, Gauge, Histogram

from synthbench.scheduler.adapters.overviews import Overviews

ROLLOUTS = Gauge("synthbench_rollouts", "Rollouts that are not at their end, by state", ["state"])
ATTEMPTS = Counter("synthbench_attempts_total", "Attempts that were closed, by outcome", ["outcome"])
CURATED = Counter(
    "synthbench_trajectories_curated_total", "Trajectories by verdict and curation", ["verdict", "status"]
)
QUEUE_SECONDS = Histogram(
    "synthbench_queue_wait_seconds", "From when a rollout may run until an executor claims it", ["pool"],
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400),
)  # fmt: skip
ENDED = Gauge(
    "synthbench_attempts_ended_last_hour", "Attempts that ended within an hour, of the worst pairs", ["route", "task"]
)
UNGRADED_SHARE = Gauge(
    "synthbench_attempts_ungraded_share", "Share of these that our own failures ended, 0..1", ["route", "task"]
)

STATES = ("planned", "ready", "running", "closed")


class Measures:
    """Reads from the tables what no event tells."""

    def __init__(self, overviews: Overviews) -> None:
        self._overviews = overviews

    async def sample(self) -> None:
        """Set the gauges anew."""
        found = await self._overviews.unfinished_rollouts()
        for state in STATES:
            ROLLOUTS.labels(state).set(found.get(state, 0))
        pairs = await self._overviews.ungraded_shares()
        ENDED.clear()
        UNGRADED_SHARE.clear()
        for row in pairs:
            ENDED.labels(row["route"], row["task"]).set(row["ended"])
            UNGRADED_SHARE.labels(row["route"], row["task"]).set(row["ungraded"] / row["ended"])
