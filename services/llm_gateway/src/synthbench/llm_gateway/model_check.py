"""Checks of a model by four short requests: whether it answers, streams, calls tools and counts tokens.

They are in no ledger: a person asks for them, one model at a time.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any
from uuid import UUID

import orjson

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Usage
from synthbench.llm_gateway.domain.prepared_request import prepare
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.models import Models
from synthbench.wire.failures import TryFailed, garbage
from synthbench.wire.providers import ProviderRequest
from synthbench.wire.refusal import Refusal
from synthbench.wire.relays import answer_for
from synthbench.wire.whole_answers import whole_answer
from synthbench.wire.wires import WIRES

_SECONDS = 60.0
_ANSWER_TOKENS = 512
"""Enough for a model that reasons before it speaks."""
_NOBODY = UUID(int=0)
_SAY = "Say OK."
_CALL = "Call the tool `add` with a=2 and b=3."
_TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}


async def check_model(models: Models, prices: Prices, model: str) -> dict[str, str]:
    """Ask a model, and return the findings by name.

    Args:
        models: of the running gateway.
        prices: the same.
        model: a model or a route, whose first model is asked.

    Returns:
        A finding for each of `model`, `answers`, `streaming`, `tools`, `usage`, `reasoning`, `price`, `context` and
        `seconds`; where it does not answer, `answers` says why and the rest is left out.
    """
    name = models.catalogue.route(model).models[0]
    found = {"model": name}
    began = monotonic()
    try:
        plain = await _ask(models, name, _SAY)
    except Refusal as refusal:
        return {**found, "answers": f"no: {refusal}"}
    found |= {"answers": "yes", "seconds": f"{monotonic() - began:.1f}"}
    found["streaming"] = await _finding(models, name, _SAY, _speaks, stream=True)
    found["tools"] = await _finding(models, name, _CALL, _calls_the_tool, tools=[_TOOL])
    usage = WIRES["openai"].usage(plain) or Usage()
    counts = f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    found["usage"] = counts if usage.input_tokens and usage.output_tokens else "none is told: costs are estimated"
    found["reasoning"] = "yes" if _reasons(plain) else "none seen"
    known = models.known(name)
    cost = prices.cost(name, Usage(input_tokens=1_000_000, output_tokens=1_000_000))
    provider, _ = models.find(name)
    unknown = "unknown: name it, or pass --allow-unknown-price"
    price = unknown if cost is None else f"{cost / 1e6:g} USD for a million tokens in and a million out"
    found["price"] = "free" if provider.free else price
    found["context"] = str(known.context) if known.context else "unknown"
    return found


async def _finding(models: Models, name: str, text: str, check: Any, **more: Any) -> str:
    try:
        answer = await _ask(models, name, text, **more)
    except Refusal as refusal:
        return f"no: {refusal}"
    return "yes" if check(answer) else "no: the answer holds none"


async def _ask(models: Models, model: str, text: str, **more: Any) -> Mapping[str, Any]:
    """Ask once, on OpenAI's wire.

    Raises:
        Refusal: no answer came.
    """
    provider, name = models.find(model)
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": _ANSWER_TOKENS, **more}
    request = WIRES["openai"].read(orjson.dumps(body))
    prepared = prepare(request, provider.wire, name, models.known(model))
    claims = AttemptClaims(
        submission_id=_NOBODY, campaign="", rollout_id=_NOBODY, attempt=1, route=model, task_digest="",
        max_cost_microusd=0, submission_cost_microusd=0,
    )  # fmt: skip
    provider_request = ProviderRequest(
        name, prepared.request, prepared.body, stream=request.stream, claims=claims, timeout=_SECONDS, idle=_SECONDS
    )
    try:
        response = await provider.send(provider_request)
        raw = response.body
        if response.pieces is not None:
            raw = b"".join([piece async for piece in response.pieces])
        await response.aclose()
    except TryFailed as error:
        raise error.failure.refusal from error
    whole = whole_answer(provider.wire, raw, stream=response.pieces is not None)
    if not WIRES[provider.wire].is_answer(whole) or not (whole.get("choices") or whole.get("content")):
        raise garbage(provider.wire, raw).refusal
    return parse_object(answer_for(WIRES[request.wire], WIRES[provider.wire], whole, orjson.dumps(whole))[0])


def _message(answer: Mapping[str, Any]) -> dict[str, Any]:
    choices = as_list(answer.get("choices"))
    return as_object(as_object(choices[0]).get("message")) if choices else {}


def _speaks(answer: Mapping[str, Any]) -> bool:
    return bool(_message(answer).get("content") or _reasons(answer))


def _calls_the_tool(answer: Mapping[str, Any]) -> bool:
    calls = [as_object(as_object(call).get("function")) for call in as_list(_message(answer).get("tool_calls"))]
    return any(call.get("name") == "add" for call in calls)


def _reasons(answer: Mapping[str, Any]) -> bool:
    message = _message(answer)
    details = as_object(as_object(answer.get("usage")).get("completion_tokens_details"))
    return bool(message.get("reasoning_content") or message.get("reasoning") or details.get("reasoning_tokens"))
