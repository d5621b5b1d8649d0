"""The headers of an answer: what became of a call, for whoever made it."""

import json

from synthbench.contracts.records import Usage
from synthbench.llm_gateway.calls.context import Try


def sampling_json(this: Try) -> str:
    """JSON in ASCII, so that it fits into a header; empty where the provider got no parameter."""
    return json.dumps(dict(this.prepared.sampling)) if this.prepared.sampling else ""


def headers_of(this: Try) -> dict[str, str]:
    """Which try answered, and what of the answer did not carry over."""
    made = {
        "x-synthbench-call-id": str(this.call_id),
        "x-synthbench-provider": this.provider.name,
        "x-synthbench-model": this.answered_by,
        "x-synthbench-choice": this.why,
        "x-synthbench-waited-seconds": f"{this.call.waited:.3f}",
    }
    if sampling := sampling_json(this):
        made["x-synthbench-sampling"] = sampling
    if this.tape.recorded:
        made["x-synthbench-recorded"] = "true"
    if this.dropped:
        made["x-synthbench-dropped"] = ", ".join(dict.fromkeys(this.dropped))
    return {name: value.replace("\n", " ").replace("\r", " ") for name, value in made.items()}


def cost_headers(usage: Usage) -> dict[str, str]:
    """What the call cost, in millionths of a US dollar."""
    return {
        "x-synthbench-cost-microusd": str(usage.cost_microusd),
        "x-synthbench-cost-known": "true" if usage.cost_known else "false",
    }
