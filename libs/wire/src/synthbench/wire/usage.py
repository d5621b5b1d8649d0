"""Tokens, normalised once: cached tokens inside the input (OpenAI's way), reasoning inside the output. Pure.

Every usage is read here, by `usage_of`, whoever sent it.

Sources: OpenAI's chat completion usage; Anthropic's messages usage, which leaves cached tokens out of `input_tokens`.
"""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_count, as_object
from synthbench.contracts.records import Usage

_CHARACTERS_A_TOKEN = 4
_MOST = 2**40
"""Tokens of a count; no provider means more, and sums of more would not fit the record."""
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"


def usage_of(wire: str, answer: Mapping[str, Any]) -> Usage | None:
    """Normalise the usage of a whole answer; None where it says nothing that can be believed.

    Args:
        wire: `openai` or `anthropic`.
        answer: the whole answer, or any object with its `usage`.
    """
    usage = as_object(answer.get("usage"))
    return _openai(usage) if wire == "openai" else _anthropic(usage)


def _openai(usage: Mapping[str, Any]) -> Usage | None:
    given, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(given) or not _is_count(answered):
        return None
    prompt, completion = (
        as_object(usage.get("prompt_tokens_details")),
        as_object(usage.get("completion_tokens_details")),
    )
    written = _count(prompt.get("cache_write_tokens"))
    return Usage(
        calls=1,
        input_tokens=_count(given),
        cached_tokens=min(_count(prompt.get("cached_tokens")), _count(given)),
        cache_write_tokens=written,
        cache_write_1h_tokens=min(_count(prompt.get("cache_write_1h_tokens")), written),
        output_tokens=_count(answered),
        reasoning_tokens=min(_count(completion.get("reasoning_tokens")), _count(answered)),
    )


def _anthropic(usage: Mapping[str, Any]) -> Usage | None:
    given, answered = usage.get("input_tokens"), usage.get("output_tokens")
    if not _is_count(given) or not _is_count(answered):
        return None
    details = as_object(usage.get("output_tokens_details"))
    written, long_written = cache_writes(usage)
    read = _count(usage.get(_READ))
    return Usage(
        calls=1,
        input_tokens=_count(given) + read + written,
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=long_written,
        output_tokens=_count(answered),
        reasoning_tokens=min(_count(details.get("thinking_tokens")), _count(answered)),
    )


def cache_writes(usage: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens that Anthropic's usage says were written to the cache: all of them, and those of them for an hour."""
    parts = as_object(usage.get("cache_creation"))
    long_written = _count(parts.get("ephemeral_1h_input_tokens"))
    summed = _count(parts.get("ephemeral_5m_input_tokens")) + long_written
    written = max(_count(usage.get(_WRITTEN)), summed)
    return written, long_written


def grow_anthropic_usage(known: Mapping[str, Any], counted: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a later event of a stream counts to what an earlier one said.

    Counts are totals, so the newer one of each name holds. A server that names tokens of the cache late counted them as
    plain input before, unless it says the input anew: 3,602 and then 3,604 read are 3,604, not 7,206.
    """
    whole = {**known, **{name: value for name, value in counted.items() if value is not None}}
    late = _cached(whole) - _cached(known)
    if late > 0 and counted.get("input_tokens") is None and _is_count(known.get("input_tokens")):
        whole["input_tokens"] = max(0, _count(known["input_tokens"]) - late)
    return whole


def _cached(usage: Mapping[str, Any]) -> int:
    return _count(usage.get(_READ)) + cache_writes(usage)[0]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _count(value: object) -> int:
    return min(as_count(value), _MOST)


def estimate_tokens(characters: int) -> int:
    """A rough count, for reservations and for answers without a usage."""
    return characters // _CHARACTERS_A_TOKEN + 1
