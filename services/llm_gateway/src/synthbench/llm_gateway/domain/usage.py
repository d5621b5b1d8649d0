"""Tokens, normalised once: cached tokens inside the input (OpenAI's way), reasoning inside the output. Pure.

Sources: OpenAI's chat completion usage; Anthropic's messages usage, which leaves cached tokens out of `input_tokens`.
"""

from typing import Any

from synthbench.contracts.loose import as_count, as_object
from synthbench.contracts.records import Usage

_CHARACTERS_A_TOKEN = 4


def read_usage(body: dict[str, Any]) -> Usage | None:
    """Return the usage of an answer in OpenAI's format; None where it says nothing that can be believed."""
    usage = as_object(body.get("usage"))
    given, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(given) or not _is_count(answered):
        return None
    return Usage(
        calls=1,
        input_tokens=as_count(given),
        cached_tokens=as_count(as_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        output_tokens=as_count(answered),
        reasoning_tokens=as_count(as_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def estimate_tokens(text: str) -> int:
    """A rough count, for reservations and for answers without a usage."""
    return len(text) // _CHARACTERS_A_TOKEN + 1
