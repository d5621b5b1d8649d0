"""Sampling parameters of a submission and a model, in the words of a provider's wire format. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_object
from synthbench.contracts.sampling import Sampling

_PARAMETERS = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "reasoning_effort", "reasoning",
    "thinking", "output_config", "seed", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias",
    "stop", "stop_sequences",
)  # fmt: skip
"""Fields in which a request, in any format, may say how it is to be answered."""
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}
"""Anthropic's words for OpenAI's reasoning efforts."""


@dataclass
class SamplingFields:
    """Sampling parameters as fields of a request."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """Values of the request's fields, by the provider's names."""
    dropped: list[str] = field(default_factory=list[str])
    """Names of the parameters that the provider's format has no field for."""


def parameters_of(request: Mapping[str, Any], extra: Collection[str]) -> dict[str, Any]:
    """Return the sampling parameters that a request names, and its further fields of the names in `extra`."""
    return {name: request[name] for name in (*_PARAMETERS, *extra) if request.get(name) is not None}


def named_parameters(request: Mapping[str, Any]) -> list[str]:
    """Return the parameters of `Sampling` that a request names itself, in whatever format it is."""
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


def openai_sampling(sampling: Sampling, *, reasoning: bool) -> SamplingFields:
    """Write parameters as fields of a chat completion's request; a reasoning model has another name for the limit."""
    limit = "max_completion_tokens" if reasoning or sampling.reasoning_effort else "max_tokens"
    named = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        limit: sampling.max_tokens,
        "reasoning_effort": sampling.reasoning_effort,
        "seed": sampling.seed,
    }
    return SamplingFields({name: value for name, value in named.items() if value is not None})


def anthropic_sampling(sampling: Sampling, request: Mapping[str, Any]) -> SamplingFields:
    """Write parameters as fields of Anthropic's request, beside those that the request has."""
    found = SamplingFields()
    if sampling.temperature is not None:
        found.fields["temperature"] = min(1.0, sampling.temperature)
        if sampling.temperature > 1:
            found.dropped.append("sampling.temperature above 1")
    if sampling.top_p is not None:
        found.fields["top_p"] = sampling.top_p
    if sampling.max_tokens is not None:
        found.fields["max_tokens"] = sampling.max_tokens
    if sampling.reasoning_effort in _EFFORTS:
        config = as_object(request.get("output_config"))
        found.fields["output_config"] = {**config, "effort": _EFFORTS[sampling.reasoning_effort]}
    elif sampling.reasoning_effort:
        found.dropped.append("sampling.reasoning_effort")
    if sampling.seed is not None:
        found.dropped.append("sampling.seed")
    return found
