"""Whether a failed job is tried again, and when."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


def may_retry(job):
    """Whether a job that failed just now has a try left: one attempt and `retries` more."""
    return job.attempts <= job.retries


def pause_before(attempt):
    """Return the seconds before an attempt: none before the first, then 1, 2, 4, …, at most 60."""
    if attempt <= 1:
        return 0.0
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 2))
