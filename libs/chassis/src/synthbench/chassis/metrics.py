"""Prometheus metrics that every service has. Subjects and ids are never labels: they would explode."""

from prometheus_client import Counter, Gauge, Histogram

HANDLED = Counter(
    "synthbench_messages_handled_total", "Messages by consumer and how they were settled", ["consumer", "result"]
)
HANDLER_SECONDS = Histogram(
    "synthbench_handler_seconds", "Seconds in a handler", ["consumer"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)  # fmt: skip
DEAD_LETTERS = Counter("synthbench_dead_letters_total", "Messages given up", ["consumer"])
PUBLISHED = Counter("synthbench_published_total", "Events stored on the bus", ["event"])
PUBLISH_STALLED = Counter("synthbench_publish_stalled_total", "Tries that a full or absent stream refused", ["stream"])
BACKGROUND_FAILURES = Counter(
    "synthbench_background_failures_total", "Rounds of background work that failed and are tried again", ["task"]
)
OUTBOX_BACKLOG = Gauge("synthbench_outbox_backlog", "Events in the outbox that are not on the bus yet")
LAST_FETCH = Gauge(
    "synthbench_last_fetch_timestamp_seconds", "When the consumer last heard from its stream", ["consumer"]
)
