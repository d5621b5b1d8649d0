"""Headers of an answer that say which model answered, at what cost, and why that one."""

import json

from synthbench.contracts.records import Usage
from synthbench.llm_gateway.calls.context import ReceivedAnswer, SentTry
from synthbench.llm_gateway.domain.prepared_request import PreparedRequest


def sampling_json(prepared: PreparedRequest) -> str:
    """Return the sampling parameters as JSON in ASCII, which fits into a header; empty where there are none."""
    return json.dumps(dict(prepared.sampling)) if prepared.sampling else ""


def answer_headers(sent: SentTry, received: ReceivedAnswer) -> dict[str, str]:
    """Return the headers that name the try that answered, and the fields that did not carry over."""
    headers = {
        "x-synthbench-call-id": str(sent.call_id),
        "x-synthbench-provider": sent.provider.name,
        "x-synthbench-model": received.model,
        "x-synthbench-choice": sent.plan.reason,
        "x-synthbench-waited-seconds": f"{sent.waited:.3f}",
    }
    if sampling := sampling_json(sent.prepared):
        headers["x-synthbench-sampling"] = sampling
    if sent.session.recorded:
        headers["x-synthbench-recorded"] = "true"
    if received.dropped:
        headers["x-synthbench-dropped"] = ", ".join(dict.fromkeys(received.dropped))
    return {name: value.replace("\n", " ").replace("\r", " ") for name, value in headers.items()}


def cost_headers(usage: Usage) -> dict[str, str]:
    """Return the headers that say the cost, in millionths of a US dollar."""
    return {
        "x-synthbench-cost-microusd": str(usage.cost_microusd),
        "x-synthbench-cost-known": "true" if usage.cost_known else "false",
    }
