"""Traces: OpenTelemetry over OTLP/HTTP. One trace follows one attempt along the whole road."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from synthbench.chassis.redaction import redacted


def setup_telemetry(service: str, endpoint: str | None, *, instance: str) -> Callable[[], None]:
    """Send spans to `endpoint`; return a function that flushes and ends it. Without an endpoint nothing is made."""
    if not endpoint:
        return lambda: None
    # PLC0415: the SDK and its exporter cost start-up time that only a traced stack should pay.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - only where traces are wanted
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only where traces are wanted
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only where traces are wanted
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - only where traces are wanted

    resource = Resource.create({"service.name": f"synth-bench-{service}", "service.instance.id": instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def current_trace() -> dict[str, str]:
    """W3C trace context of the current span; empty when nothing is traced."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {key: value for key, value in carrier.items() if key in ("traceparent", "tracestate")}


@contextmanager
def span(
    name: str,
    *,
    parent: Mapping[str, str] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: tuple[Mapping[str, str], ...] = (),
    root: bool = False,
) -> Generator[Span]:
    """Open a span around a block; an exception marks it as failed and goes on.

    Args:
        name: low-cardinality name.
        parent: trace context of a message or request; the current span if not given.
        kind: OpenTelemetry's kind.
        attributes: no secrets, no bodies.
        links: trace contexts that it belongs to without being their child.
        root: start a new trace.
    """
    context = Context() if root else propagate.extract(dict(parent)) if parent else None
    linked = [trace.Link(trace.get_current_span(propagate.extract(dict(link))).get_span_context()) for link in links]
    opened = _tracer(trace.get_tracer_provider()).start_span(name, context, kind, attributes, links=linked)
    before = attach(trace.set_span_in_context(opened))
    try:
        yield opened
    except BaseException as error:
        opened.set_status(Status(StatusCode.ERROR, redacted(f"{type(error).__name__}: {error}")[:500]))
        raise
    finally:
        detach(before)
        opened.end()


@lru_cache(maxsize=1)
def _tracer(provider: trace.TracerProvider) -> trace.Tracer:
    """The SDK looks a tracer up by comparing everything that it is called by, which costs more than a span."""
    return provider.get_tracer("synthbench")
