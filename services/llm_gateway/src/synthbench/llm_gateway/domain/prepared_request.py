"""The request that a provider gets: the caller's bytes in the same wire format, translated between two. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from synthbench.contracts.sampling import Sampling
from synthbench.llm_gateway.domain.catalogue import Model
from synthbench.wire.protocols import WireFormat
from synthbench.wire.request import ModelRequest
from synthbench.wire.sampling import SamplingFields, named_parameters, parameters_of
from synthbench.wire.splice import with_fields
from synthbench.wire.wires import WIRES

_NOTHING = Sampling()


@dataclass(frozen=True)
class PreparedRequest:
    """One request in the provider's wire format."""

    request: Mapping[str, Any]
    body: bytes
    dropped: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The sampling parameters that it names."""


def prepare(
    request: ModelRequest, wire: str, name: str, model: Model, sampling: Sampling = _NOTHING
) -> PreparedRequest:
    """Write the request for a provider.

    Args:
        request: the caller's.
        wire: name of the provider's wire format.
        name: the provider's name for the model.
        model: the model's entry in the catalogue.
        sampling: for parameters that the request does not name; the model's own come after it.

    Raises:
        Refusal: 400, it cannot be expressed in the provider's format.
    """
    sampling = sampling.over(model.sampling)
    caller, provider = WIRES[request.wire], WIRES[wire]
    added = _added(request, provider, sampling, reasoning=model.reasoning)
    if request.wire == wire:
        changes: dict[str, Any] = {"model": name, **added.fields}
        if request.stream and not request.wants_usage:
            changes |= provider.usage_fields(request.request)
        whole = {**request.request, **changes}
        body = with_fields(request.body, request.request, changes)
        return PreparedRequest(whole, body, tuple(added.dropped), parameters_of(whole, sampling.extra_body))
    completion, lost = caller.request_to_openai(request.request, reasoning=model.reasoning)
    translated, dropped = provider.request_from_openai(completion, max_tokens=model.max_output or 0)
    if request.stream:
        translated |= provider.usage_fields(translated)
    translated |= {"model": name, **added.fields}
    return PreparedRequest(
        translated,
        orjson.dumps(translated),
        (*lost, *dropped, *added.dropped),
        parameters_of(translated, sampling.extra_body),
    )


def _added(request: ModelRequest, provider: WireFormat, sampling: Sampling, *, reasoning: bool) -> SamplingFields:
    """Return the sampling parameters that the request does not name itself, as fields for the provider."""
    named = named_parameters(request.request)
    unnamed = sampling.model_copy(update=dict.fromkeys(named))
    added = provider.sampling_fields(unnamed, request.request, reasoning=reasoning)
    added.fields |= {name: value for name, value in sampling.extra.items() if request.request.get(name) is None}
    return added
