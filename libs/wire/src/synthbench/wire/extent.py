"""The extent of a request: the most answers, tokens and cache writes that it asks for. Pure.

Money and token limits are reserved by these figures, so every field that multiplies the work is counted here or refused
by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthbench.contracts.loose import as_count, as_list, as_object
from synthbench.wire.refusal import Refusal

_ANSWERS = ("n", "best_of", "candidate_count", "num_return_sequences")
_ANSWERS_MOST = 128
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "min_tokens")
_THINKING = (("thinking", "budget_tokens"), ("reasoning", "max_tokens"), ("thinking_config", "thinking_budget"))
"""Where a request says how much may be thought, by vendor; Anthropic lets it pass the answer's limit."""
_DEARER = {"service_tier": ("priority",), "speed": ("fast",), "inference_geo": ("us",)}
"""Values that have a price of their own, which nobody names here."""


@dataclass(frozen=True)
class Extent:
    """The most that one request may ask a model to do."""

    answers: int
    """Number of candidates; each is billed."""
    answer_tokens: int
    """Tokens of one answer at most, reasoning included; 0 where the request does not say."""
    predicted_tokens: int
    """Characters of a prediction, counted as tokens; it is billed where the answer is another one."""
    cache_seconds: int
    """For how long input is written to the provider's cache: 0, 300 or 3600."""

    def output_tokens(self, unlimited: int) -> int:
        """Return the most tokens of all answers, where an answer without a limit has `unlimited`."""
        return self.answers * ((self.answer_tokens or unlimited) + self.predicted_tokens)


def extent_of(request: Mapping[str, Any]) -> Extent:
    """Read a request, on either wire, with everything that is added before it goes out.

    Raises:
        Refusal: 400, a figure is none, or what is asked for has a price that is not counted here.
    """
    _refuse_dearer(request)
    answers = max(_figure(request, name, _ANSWERS_MOST) for name in _ANSWERS)
    limit = max(_figure(request, name, None) for name in _LIMITS)
    thinking = max(_thinking(as_object(request.get(part)), name) for part, name in _THINKING)
    predicted = str(as_object(request.get("prediction")).get("content") or "")
    return Extent(
        answers=max(1, answers),
        answer_tokens=max(limit, thinking) if limit else 0,
        predicted_tokens=len(predicted),
        cache_seconds=_cache_seconds([request.get(name) for name in ("cache_control", "system", "tools", "messages")]),
    )


def _thinking(part: Mapping[str, Any], name: str) -> int:
    return as_count(part.get(name))


def _figure(request: Mapping[str, Any], name: str, most: int | None) -> int:
    """A whole number from 1 on; 0 where it is not named."""
    value = request.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most is not None and value > most):
        raise Refusal(
            400, "invalid_request", f"{name}: a whole number from 1 on, at most {most or 'what the model can'}"
        )
    return value


def _refuse_dearer(request: Mapping[str, Any]) -> None:
    kinds = [kind for kind in as_list(request.get("modalities")) if kind != "text"]
    if kinds or request.get("audio"):
        raise _uncounted("modalities: answers other than text")
    if request.get("web_search_options") is not None:
        raise _uncounted("web_search_options: searches")
    for name, values in _DEARER.items():
        if request.get(name) in values:
            raise _uncounted(f"{name}: {request[name]!r}")
    for number, message in enumerate(map(as_object, as_list(request.get("messages")))):
        for part in map(as_object, as_list(message.get("content"))):
            if _is_elsewhere(part):
                raise _uncounted(f"messages.{number}: a {part.get('type')} that is not sent along, of unknown size,")


def _is_elsewhere(part: Mapping[str, Any]) -> bool:
    """A document, a sound or a video that the provider fetches: how many tokens it has nobody knows here."""
    match part.get("type"):
        case "document":
            return as_object(part.get("source")).get("type") in ("url", "file")
        case "file":
            return not as_object(part.get("file")).get("file_data")
        case "video_url" | "audio_url":
            return not str(as_object(part.get(str(part["type"]))).get("url") or "").startswith("data:")
        case _:
            return False


def _uncounted(what: str) -> Refusal:
    return Refusal(400, "unsupported", f"{what} cannot be asked for here: the cost could not be capped")


def _cache_seconds(value: Any) -> int:
    """The longest time for which a mark in a JSON value wants input cached."""
    longest, open_values = 0, [value]
    while open_values:
        one = open_values.pop()
        if isinstance(one, dict):
            content = as_object(one)  # pyright: ignore[reportUnknownArgumentType] - any JSON
            if mark := as_object(content.get("cache_control")):
                longest = max(longest, 3600 if mark.get("ttl") == "1h" else 300)
            open_values += [inner for inner in content.values() if isinstance(inner, dict | list)]
        elif isinstance(one, list):
            open_values += as_list(one)  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return longest
