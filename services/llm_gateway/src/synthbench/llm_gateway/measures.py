"""What the gateway measures."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

CALLS = Counter("synthbench_llm_calls_total", "Tries of model calls by provider and outcome", ["provider", "outcome"])
TOKENS = Counter("synthbench_llm_tokens_total", "Tokens by provider and direction", ["provider", "direction"])
COST = Counter("synthbench_llm_cost_microusd_total", "Cost in millionths of a US dollar", ["provider"])
SECONDS = Histogram("synthbench_llm_call_seconds", "Latency of tries", ["provider"], buckets=_SECONDS)
FIRST_TOKEN = Histogram(
    "synthbench_llm_first_token_seconds", "Time to a stream's first token", ["provider"], buckets=_SECONDS
)
WAITED = Histogram("synthbench_llm_waited_seconds", "Our own waits before a try", ["provider"], buckets=_SECONDS)
RETRIES = Counter("synthbench_llm_retries_total", "Tries after a failed one", ["action"])
OPENED = Counter("synthbench_llm_breaker_opened_total", "Circuit breakers that opened", ["provider"])
READY = Gauge("synthbench_llm_provider_ready", "1 where the provider answered when last asked", ["provider"])
LIMITED = Counter("synthbench_llm_limited_total", "Calls that had to wait for a limit", ["limit"])
QUEUED = Gauge("synthbench_llm_limit_queue", "Calls that wait for a limit now")
SHED = Counter("synthbench_llm_shed_total", "Calls refused because too many were on their way")
INFLIGHT = Gauge("synthbench_llm_inflight", "Calls on their way")
RECORDINGS = Counter(
    "synthbench_llm_recordings_total",
    "Recordings that were played, missed, kept, taken (another was first), corrupt, unreadable, unwritten",
    ["event"],
)
