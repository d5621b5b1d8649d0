"""Which limits a command ran into."""

from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.result import LimitHit


def hits(before: Counts, after: Counts, *, timed_out: bool, full: bool) -> tuple[LimitHit, ...]:
    """Name them, worst first.

    Args:
        before: what the kernel had refused when it began.
        after: and when it had ended.
        timed_out: its time was over.
        full: it was ended for what it had written.
    """
    found: dict[LimitHit, bool] = {
        "disk": full,
        "oom": after.oom_kills > before.oom_kills,
        "timeout": timed_out,
        "pids": after.refused_forks > before.refused_forks,
    }
    return tuple(name for name, was in found.items() if was)
