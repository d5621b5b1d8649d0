"""Reads fields of foreign documents, which may have any type. Pure."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.wire.reasoning import PARTS as REASONING_PARTS
from synthbench.wire.usage import usage_of as tokens_of

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for an unknown time."""
_MOST = 10**12
"""More tokens, calls, seconds or micro-dollars than any run has: such a number is taken as not told."""
_MICRO = 1_000_000
_EXIT_CODES = 2**31


def unknown_fields(where: str, found: Mapping[str, Any], known: set[str]) -> Counter[str]:
    """Names of fields that a reader does not look at and that hold something, as `left_out` counts them."""
    return Counter(f"{where}{name}" for name, value in found.items() if name not in known and _holds(value))


def _holds(value: object) -> bool:
    return value is not None and value not in ([], {}, "")


def as_text(value: object) -> str:
    """A message's content as a text: as it is, its text parts, or as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "".join(str(as_object(part).get("text") or "") for part in as_list(value))  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return json.dumps(value, ensure_ascii=False)


def parts_left_out(value: object) -> Counter[str]:
    """Content parts that are neither text nor reasoning."""
    parts = map(as_object, as_list(value))
    return Counter(
        f"content parts: {part.get('type')}"
        for part in parts
        if "text" not in part and part.get("type") not in REASONING_PARTS
    )


def count_of(value: object) -> int | None:
    """A number of tokens or calls; None where none is told, or one that no run has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return None
    return int(value)


def microusd_of(value: object) -> int | None:
    """A cost in US dollars as millionths of one; None where none is told, or one that no run has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST / _MICRO:
        return None
    return round(value * _MICRO)


def seconds_of(value: object) -> float:
    """A duration in seconds; 0 where none is told, or one that no run has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return 0.0
    return float(value)


def exit_code_of(value: object) -> int | None:
    """An exit code; None where the value is none."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _EXIT_CODES:
        return None
    return value


def usage_of(answer: Mapping[str, Any], *, cost_usd: object = None) -> Usage:
    """Usage of one call on OpenAI's wire; its cost where `cost_usd` or the answer's own usage tells it."""
    prices = (microusd_of(cost_usd), microusd_of(as_object(answer.get("usage")).get("cost")))
    cost = next((one for one in prices if one is not None), None)
    counted = tokens_of("openai", answer) or Usage(calls=1)
    if counted.input_tokens + counted.output_tokens > _MOST:
        counted = Usage(calls=1)
    return counted.model_copy(update={"cost_microusd": cost or 0, "cost_known": cost is not None})


def usage_of_the_whole(
    steps: Usage,
    *,
    calls: object = None,
    input_tokens: object = None,
    cached_tokens: object = None,
    output_tokens: object = None,
    cost_usd: object = None,
) -> Usage:
    """Usage of a whole run: what its document tells of the whole, else the sum of its steps.

    A whole that is told as 0 tells nothing: agents write it where they do not count, or know no price.
    """
    cost = microusd_of(cost_usd)
    return steps.model_copy(
        update={
            "calls": count_of(calls) or steps.calls,
            "input_tokens": count_of(input_tokens) or steps.input_tokens,
            "cached_tokens": count_of(cached_tokens) or steps.cached_tokens,
            "output_tokens": count_of(output_tokens) or steps.output_tokens,
            **({"cost_microusd": cost, "cost_known": True} if cost else {}),
        }
    )


def moment(value: object) -> datetime | None:
    """A time: seconds since 1970, or ISO 8601; None where it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
