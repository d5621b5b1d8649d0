"""What became of a plan."""

from collections import Counter

from jobs.model import DONE, FAILED, SKIPPED


def summary(jobs):
    """Return one line: how many are done, failed and skipped."""
    states = Counter(job.state for job in jobs)
    return f"{states[DONE]} done, {states[FAILED]} failed, {states[SKIPPED]} skipped"


def problems(jobs):
    """Return a line for each job that is not done, in the order of the plan."""
    return [f"{job.name}: {job.state}: {job.error}" for job in jobs if job.state in (FAILED, SKIPPED)]
