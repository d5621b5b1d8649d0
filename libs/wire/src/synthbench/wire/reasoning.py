"""The reasoning of a model, wherever a wire or a provider puts it. Pure.

Sources: `reasoning_content` (DeepSeek, LiteLLM), `reasoning` and `reasoning_details` (OpenRouter, vLLM),
`thinking_blocks` (LiteLLM, SWE-agent), content parts of type `thinking` (Anthropic).
"""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object

_TEXTS = ("reasoning_content", "reasoning", "thinking")
_BLOCKS = ("reasoning_details", "thinking_blocks")
PARTS = ("thinking", "reasoning")
"""Types of content parts that hold reasoning."""


def reasoning_of(message: Mapping[str, Any]) -> str:
    """The reasoning beside or in an assistant's message, as one text; empty where there is none that can be read."""
    for holder in (message, as_object(message.get("provider_specific_fields"))):
        for name in _TEXTS:
            if text := _text(holder.get(name)):
                return text
        for name in _BLOCKS:
            if text := "".join(_thought(as_object(block)) for block in as_list(holder.get(name))):
                return text
    parts = [as_object(part) for part in as_list(message.get("content"))]
    return "".join(_thought(part) for part in parts if part.get("type") in PARTS)


def _thought(block: Mapping[str, Any]) -> str:
    found = next((block[name] for name in ("thinking", "text", "summary", "reasoning") if block.get(name)), "")
    return _text(found)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "".join(str(as_object(part).get("text") or "") for part in as_list(value))
