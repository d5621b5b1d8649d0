"""Sampling parameters of a submission and a model, put into a request in the provider's words. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_object
from synthbench.contracts.sampling import Sampling

_RECORDED = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "reasoning",
    "thinking", "output_config", "seed", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias",
    "stop", "stop_sequences",
)  # fmt: skip
"""What a request on either wire may say of how it is answered."""
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}
"""OpenAI's words in Anthropic's."""


@dataclass
class Additions:
    """What a request lacks of its sampling parameters."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """In the provider's words."""
    dropped: list[str] = field(default_factory=list[str])
    """Names of what the provider's wire has no place for."""


def additions(request: Mapping[str, Any], sampling: Sampling, wire: str, *, reasoning: bool) -> Additions:
    """Say what must be added to a request, which keeps what it says itself.

    Args:
        request: of the caller, on either wire.
        sampling: for what it does not say.
        wire: the provider's.
        reasoning: the model takes `max_completion_tokens` in place of `max_tokens`.
    """
    said = _said(request)
    left = sampling.model_copy(update=dict.fromkeys(said))
    found = _anthropic(left, request) if wire == "anthropic" else _openai(left, reasoning=reasoning)
    found.fields |= {name: value for name, value in sampling.extra.items() if request.get(name) is None}
    return found


def recorded(request: Mapping[str, Any], extra: Collection[str]) -> dict[str, Any]:
    """The sampling parameters of a request as a provider gets it, with the further fields of these names."""
    return {name: request[name] for name in (*_RECORDED, *extra) if request.get(name) is not None}


def _said(request: Mapping[str, Any]) -> list[str]:
    """Parameters that a request names itself."""
    given = {
        "temperature": request.get("temperature"),
        "top_p": request.get("top_p"),
        "max_tokens": request.get("max_tokens") or request.get("max_completion_tokens"),
        "reasoning_effort": request.get("reasoning_effort")
        or request.get("reasoning")
        or request.get("thinking")
        or as_object(request.get("output_config")).get("effort"),
        "seed": request.get("seed"),
    }
    return [name for name, value in given.items() if value is not None]


def _openai(left: Sampling, *, reasoning: bool) -> Additions:
    limit = "max_completion_tokens" if reasoning or left.reasoning_effort else "max_tokens"
    named = {
        "temperature": left.temperature,
        "top_p": left.top_p,
        limit: left.max_tokens,
        "reasoning_effort": left.reasoning_effort,
        "seed": left.seed,
    }
    return Additions({name: value for name, value in named.items() if value is not None})


def _anthropic(left: Sampling, request: Mapping[str, Any]) -> Additions:
    found = Additions()
    if left.temperature is not None:
        found.fields["temperature"] = min(1.0, left.temperature)
        if left.temperature > 1:
            found.dropped.append("sampling.temperature above 1")
    if left.top_p is not None:
        found.fields["top_p"] = left.top_p
    if left.max_tokens is not None:
        found.fields["max_tokens"] = left.max_tokens
    if left.reasoning_effort in _EFFORTS:
        config = as_object(request.get("output_config"))
        found.fields["output_config"] = {**config, "effort": _EFFORTS[left.reasoning_effort]}
    elif left.reasoning_effort:
        found.dropped.append("sampling.reasoning_effort")
    if left.seed is not None:
        found.dropped.append("sampling.seed")
    return found
