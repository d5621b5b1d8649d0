"""Spans and metrics of calls, by the names of OpenTelemetry's GenAI conventions."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client.parser import text_string_to_metric_families

from model_upstream import CACHED, INPUT, KEY, OUTPUT, two_wires

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


async def sample(client, name: str, **labels: str) -> float:
    """One sample of the gateway's own /metrics; 0 where it is not there yet."""
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    wanted = {label.replace(".", "_"): value for label, value in labels.items()}
    found = [s.value for f in families for s in f.samples if s.name == name and wanted.items() <= s.labels.items()]
    return sum(found)


@pytest.mark.parametrize(("wire", "stream"), [("openai", False), ("anthropic", True)])
async def test_a_span_of_each_try_in_the_callers_trace(gateway, upstream, spans, wire, stream):
    upstream.faults.append("500")
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
    body = {"model": "claude/small", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    async with gateway.http("claude/small") as client:
        await client.post(path, json=body, headers=headers)
    made: tuple[ReadableSpan, ...] = spans.get_finished_spans()
    failed, answered = [dict(span.attributes or {}) for span in made if span.name == "chat claude/small"]
    assert {format(span.context.trace_id, "032x") for span in made if span.context} == {TRACE}
    assert {span.kind for span in made if span.name.startswith("chat ")} == {SpanKind.CLIENT}
    assert failed["error.type"] == "upstream_status"
    assert "gen_ai.usage.input_tokens" not in failed
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "claude", "gen_ai.request.model": "claude/small",
        "gen_ai.request.stream": stream, "gen_ai.response.model": "small-2026-01-01",
        "gen_ai.usage.input_tokens": INPUT, "gen_ai.usage.output_tokens": OUTPUT,
        "gen_ai.usage.cache_read.input_tokens": CACHED, "gen_ai.usage.cache_creation.input_tokens": 0,
        "synthbench.route": "claude/small",
    }  # fmt: skip
    assert expected.items() <= answered.items()
    assert str(answered["synthbench.route.reason"]).startswith("fixed 1 of 1")


async def test_the_metrics_of_the_conventions(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.delay = 0.2
    model = "metered/small"
    models = two_wires(upstream.url).replace("chat", "metered")
    common = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "metered", "gen_ai_request_model": model}
    async with start_gateway(models) as gateway, gateway.http() as client:
        assert await gateway.ask("openai", model) == "ok"
        assert await gateway.ask("anthropic", model, stream=True) == "ok"
        upstream.faults.append("context")
        assert await gateway.ask("openai", model) == "context_length_exceeded"

        async def of(name: str, **more: str) -> float:
            return await sample(client, name, **common, **more)

        tokens, seconds = "gen_ai_client_token_usage", "gen_ai_client_operation_duration_seconds"
        assert await of(f"{tokens}_sum", gen_ai_token_type="input") == 2 * INPUT
        assert await of(f"{tokens}_count", gen_ai_token_type="output") == 2
        assert await of(f"{tokens}_bucket", gen_ai_token_type="output", le="256.0") == 2
        assert await of(f"{seconds}_count", error_type="") == 2
        assert await of(f"{seconds}_count", error_type="context_length_exceeded") == 1
        assert await of(f"{seconds}_sum") > 0.6
        first = "gen_ai_client_operation_time_to_first_chunk_seconds"
        assert await of(f"{first}_count") == 1
        assert await of(f"{first}_sum") > 0.2
        assert await sample(client, "synthbench_llm_calls_total", provider="metered", outcome="ok") == 2
        assert await sample(client, "synthbench_llm_cost_microusd_total", provider="metered") > 0
