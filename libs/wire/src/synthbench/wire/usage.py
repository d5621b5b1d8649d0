"""Tokens, normalised once: cached tokens inside the input (OpenAI's way), reasoning inside the output. Pure.

Sources: OpenAI's chat completion usage; Anthropic's messages usage, which leaves cached tokens out of `input_tokens`.
"""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_count, as_object
from synthbench.contracts.records import Usage

_CHARACTERS_A_TOKEN = 4


def usage_of(wire: str, answer: Mapping[str, Any]) -> Usage | None:
    """Normalise the usage of a whole answer; None where it says nothing that can be believed.

    Args:
        wire: `openai` or `anthropic`.
        answer: the whole answer, or any object with its `usage`.
    """
    said = as_object(answer.get("usage"))
    return _openai(said) if wire == "openai" else _anthropic(said)


def _openai(usage: Mapping[str, Any]) -> Usage | None:
    given, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(given) or not _is_count(answered):
        return None
    prompt, completion = (
        as_object(usage.get("prompt_tokens_details")),
        as_object(usage.get("completion_tokens_details")),
    )
    return Usage(
        calls=1,
        input_tokens=as_count(given),
        cached_tokens=min(as_count(prompt.get("cached_tokens")), as_count(given)),
        cache_write_tokens=as_count(prompt.get("cache_write_tokens")),
        output_tokens=as_count(answered),
        reasoning_tokens=min(as_count(completion.get("reasoning_tokens")), as_count(answered)),
    )


def _anthropic(usage: Mapping[str, Any]) -> Usage | None:
    given, answered = usage.get("input_tokens"), usage.get("output_tokens")
    if not _is_count(given) or not _is_count(answered):
        return None
    details = as_object(usage.get("output_tokens_details"))
    read, written = as_count(usage.get("cache_read_input_tokens")), as_count(usage.get("cache_creation_input_tokens"))
    return Usage(
        calls=1,
        input_tokens=as_count(given) + read + written,
        cached_tokens=read,
        cache_write_tokens=written,
        output_tokens=as_count(answered),
        reasoning_tokens=min(as_count(details.get("thinking_tokens")), as_count(answered)),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def estimate_tokens(characters: int) -> int:
    """A rough count, for reservations and for answers without a usage."""
    return characters // _CHARACTERS_A_TOKEN + 1
