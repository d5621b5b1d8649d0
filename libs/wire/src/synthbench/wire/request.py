"""A request to a model, read once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelRequest:
    """A caller's request, with the facts that choosing a model and setting money aside need."""

    wire: str
    """Name of the caller's wire format."""
    model: str
    """The route or model that it names; empty for the key's own route."""
    body: bytes
    """The request as it came."""
    request: Mapping[str, Any]
    """The same, parsed."""
    stream: bool
    input_tokens: int
    """An estimate."""
    tools: bool
    vision: bool
    wants_usage: bool = True
    """Whether a stream shall end with a usage (OpenAI's `stream_options.include_usage`)."""
