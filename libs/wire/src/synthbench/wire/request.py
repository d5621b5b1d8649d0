"""A request to a model, read once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelRequest:
    """What a caller asks, and what must be known of it before a model is chosen and money is set aside."""

    wire: str
    """The caller's: `openai` or `anthropic`."""
    model: str
    """What it names: a route or a model; empty for the key's own route."""
    body: bytes
    """As it came."""
    request: Mapping[str, Any]
    """The same, parsed."""
    stream: bool
    input_tokens: int
    """Roughly."""
    tools: bool
    vision: bool
    wants_usage: bool = True
    """Whether a stream shall end with a usage (OpenAI's `stream_options.include_usage`)."""
