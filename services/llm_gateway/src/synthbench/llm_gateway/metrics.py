"""Metrics of the gateway. Those of OpenTelemetry's GenAI conventions have their names, as Prometheus writes them."""

from prometheus_client import Counter, Gauge, Histogram

from synthbench.chassis import genai
from synthbench.contracts.events import LlmCalled


def prometheus_name(name: str, unit: str = "") -> str:
    """A name of OpenTelemetry's in Prometheus: dots become underscores, the unit follows."""
    return "_".join([name.replace(".", "_"), *([unit] if unit else [])])


def _labels(*more: str) -> list[str]:
    """Not the response's model, which a provider may make up anew with each answer."""
    common = (genai.OPERATION, genai.PROVIDER, genai.REQUEST_MODEL)
    return [prometheus_name(label) for label in (*common, *more)]


_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

CALLS = Counter("synthbench_llm_calls_total", "Tries of model calls by provider and outcome", ["provider", "outcome"])
COST = Counter("synthbench_llm_cost_microusd_total", "Cost in millionths of a US dollar", ["provider"])
TOKENS = Histogram(
    prometheus_name(genai.TOKENS_USED),
    "Tokens of a try, input and output apart",
    _labels(genai.TOKENS_OF),
    buckets=genai.TOKEN_BUCKETS,
)
DURATION = Histogram(
    prometheus_name(genai.OPERATION_DURATION, "seconds"),
    "Latency of a try",
    _labels(genai.ERROR_TYPE),
    buckets=genai.SECONDS_BUCKETS,
)
FIRST_CHUNK = Histogram(
    prometheus_name(genai.TIME_TO_FIRST_CHUNK, "seconds"),
    "Time to the first piece of a stream",
    _labels(),
    buckets=genai.SECONDS_BUCKETS,
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


def tried(called: LlmCalled, model: str) -> None:
    """Count one try.

    Args:
        called: as it was written down.
        model: as the route names it.
    """
    provider, outcome, usage = called.provider, called.outcome, called.usage
    CALLS.labels(provider, outcome).inc()
    COST.labels(provider).inc(usage.cost_microusd)
    common = (genai.CHAT, provider, model)
    DURATION.labels(*common, "" if outcome == "ok" else outcome).observe(called.latency_seconds)
    if usage.input_tokens or usage.output_tokens:
        TOKENS.labels(*common, "input").observe(usage.input_tokens)
        TOKENS.labels(*common, "output").observe(usage.output_tokens)
    if called.first_token_seconds is not None:
        FIRST_CHUNK.labels(*common).observe(called.first_token_seconds)
    if called.waited_seconds:
        WAITED.labels(provider).observe(called.waited_seconds)
