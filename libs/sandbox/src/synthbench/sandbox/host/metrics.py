"""Prometheus metrics of sandboxes; whoever serves the process's registry shows them."""

from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

from synthbench.sandbox.result import RunResult

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600)

OPEN = Gauge("synthbench_sandboxes_open", "Sandboxes that are in use in this process", ["engine"])
CREATE_SECONDS = Histogram(
    "synthbench_sandbox_create_seconds", "Seconds until a sandbox was there", ["engine"], buckets=_SECONDS
)
COMMAND_SECONDS = Histogram(
    "synthbench_sandbox_command_seconds", "Seconds of a command, its start included", ["engine"], buckets=_SECONDS
)
LIMITS_HIT = Counter("synthbench_sandbox_limits_hit_total", "Commands that met a limit", ["engine", "limit"])
WARM = Counter("synthbench_sandboxes_warm_total", "Sandboxes taken from a pool, or made because it had none", ["found"])
EGRESS_CONNECTIONS = Counter("synthbench_egress_connections_total", "Connections out of sandboxes that were closed")
EGRESS_BYTES = Counter("synthbench_egress_bytes_total", "Bytes through the egress proxy, of sandboxes that were closed")
EGRESS_REFUSED = Counter("synthbench_egress_refused_total", "Hosts that sandboxes asked for and may not reach")
UNREMOVED = Counter("synthbench_sandbox_removals_unfinished_total", "Removals of a sandbox's files that were cut short")
BACKGROUND_FAILURES = Counter(
    "synthbench_sandbox_background_failures_total", "Rounds of an engine's background work that failed", ["task"]
)
REAP_FAILED = Counter(
    "synthbench_sandbox_reap_failures_total", "Left-behind sandboxes that could not be taken away, each try", ["engine"]
)
REAPED = Counter("synthbench_sandboxes_reaped_total", "Sandboxes of dead processes that were taken away", ["engine"])


@contextmanager
def creating(engine: str) -> Generator[None]:
    """Measure how long a sandbox takes to make; one that is not made does not count."""
    began = perf_counter()
    yield
    CREATE_SECONDS.labels(engine).observe(perf_counter() - began)


def count_command(engine: str, result: RunResult) -> None:
    """Count a command that has ended."""
    COMMAND_SECONDS.labels(engine).observe(result.seconds)
    for limit in result.hit:
        LIMITS_HIT.labels(engine, limit).inc()
