"""Work that a service does beside its handlers, again and again, and that survives whatever goes wrong in it."""

import asyncio
from collections.abc import Awaitable, Callable

from structlog.stdlib import BoundLogger

from synthbench.chassis import metrics
from synthbench.chassis.errors import one_line
from synthbench.chassis.settle import is_outage

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_MOST_DOUBLINGS = 6


async def keep_running(
    name: str, work: Callable[[], Awaitable[object]], *, every: float, stop: asyncio.Event, log: BoundLogger
) -> None:
    """Call `work` again and again until `stop` is set, whatever it raises.

    A failure is a line in the log and one more of `synthbench_background_failures_total{task}`. After an outage
    (`is_outage`) the next call comes as always; after any other failure later and later, up to 30 s.

    Args:
        name: of the task, for log and metric.
        work: one round; or what waits by itself for something to do, with `every` 0.
        every: seconds between the end of a round and the next one.
        stop: ends it between two rounds; a pause is not cut short by it.
        log: of the process.
    """
    failures = 0
    while not stop.is_set():
        pause = every
        try:
            await work()
        except Exception as error:
            metrics.BACKGROUND_FAILURES.labels(name).inc()
            if is_outage(error):
                pause = max(every, _FIRST_PAUSE_SECONDS)
                log.warning("background task waits", task=name, error=one_line(error))
            else:
                pause = max(every, min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**failures))
                failures = min(failures + 1, _MOST_DOUBLINGS)
                log.exception("background task failed", task=name, again_in_seconds=pause)
        else:
            failures = 0
        await asyncio.sleep(pause)
