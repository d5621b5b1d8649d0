"""Which job is next."""

from jobs.model import DONE, WAITING


def ready_jobs(jobs):
    """Return waiting jobs whose needs are all done: larger priority first, equal ones in the order of the plan."""
    done = {job.name for job in jobs if job.state == DONE}
    ready = [job for job in jobs if job.state == WAITING and all(need in done for need in job.needs)]
    return sorted(ready, key=lambda job: (job.priority, job.name), reverse=True)
