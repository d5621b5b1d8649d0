"""Running a plan to its end."""

from jobs.graph import check_plan, dependents
from jobs.model import DONE, FAILED, RUNNING, SKIPPED, WAITING
from jobs.queue import ready_jobs
from jobs.retry import may_retry, pause_before


class Runner:
    """Runs jobs one after the other.

    `work(name)` does a job and raises when it fails; `wait(seconds)` waits before another try. After each change of a
    state `changed(jobs)` is called.
    """

    def __init__(self, jobs, work, wait=lambda seconds: None, changed=lambda jobs: None):
        check_plan(jobs)
        self.jobs = jobs
        self._work = work
        self._wait = wait
        self._changed = changed

    def run(self):
        """Run until nothing can run any more; return whether every job is done."""
        while True:
            ready = ready_jobs(self.jobs)
            if not ready:
                return all(job.state == DONE for job in self.jobs)
            self._run_one(ready[0])

    def _run_one(self, job):
        job.attempts += 1
        self._set(job, RUNNING)
        pause = pause_before(job.attempts)
        if pause:
            self._wait(pause)
        try:
            self._work(job.name)
        except Exception as error:
            job.error = f"{type(error).__name__}: {error}"
            if may_retry(job):
                self._set(job, WAITING)
                return
            self._set(job, FAILED)
            self._skip_dependents(job)
            return
        self._set(job, DONE)

    def _skip_dependents(self, job):
        """What needs a failed job, directly or not, can never run."""
        lost = dependents(self.jobs, job.name)
        for other in self.jobs:
            if other.name in lost and other.state == WAITING:
                other.error = f"needs {job.name}, which failed"
                self._set(other, SKIPPED)

    def _set(self, job, state):
        job.state = state
        self._changed(self.jobs)
