"""What a provider says beside a turn and wants to find again in the next request, by the call that it belongs to. Pure.

Thought signatures (Gemini's `extra_content`), encrypted reasoning (OpenRouter's `reasoning_details`), signed thinking
(Anthropic's `thinking` and `redacted_thinking` blocks): agents drop them, other wires have no field for them, and
without them the provider refuses the conversation or thinks anew.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_list, as_object

_OF_CALL = {"id", "type", "function", "custom", "index", "name", "input", "cache_control"}
_OF_MESSAGE = re.compile("extra_content|reasoning_details|signature|encrypted|opaque|provider_specific|response_id")
_THINKING = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class ProviderMetadata:
    """What belongs to one call, in the words of the provider's wire."""

    of_call: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the call itself."""
    of_message: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the message, kept with its first call. OpenAI's wire only."""
    thinking: Sequence[Mapping[str, Any]] = ()
    """Blocks that came before the call. Anthropic's wire only."""

    def __bool__(self) -> bool:
        return bool(self.of_call or self.of_message or self.thinking)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"of_call": self.of_call, "of_message": self.of_message, "thinking": list(self.thinking)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "ProviderMetadata":
        """The other way round than `to_dict`."""
        thinking = [as_object(block) for block in as_list(kept.get("thinking"))]
        return cls(as_object(kept.get("of_call")), as_object(kept.get("of_message")), thinking)


def extra_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a call, on either wire, that are none of the wire's own."""
    return {name: value for name, value in call.items() if name not in _OF_CALL and value is not None}


def metadata_of(wire: str, answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:
    """Read what a provider wants back.

    Args:
        wire: the provider's.
        answer: its whole answer; every call has an id.

    Returns:
        What there is to give back, by call id; also the calls with nothing.
    """
    if wire == "anthropic":
        return _of_blocks([as_object(block) for block in as_list(answer.get("content"))])
    found: dict[str, ProviderMetadata] = {}
    for choice in map(as_object, as_list(answer.get("choices"))):
        message = as_object(choice.get("message"))
        beside = {name: value for name, value in message.items() if value and _OF_MESSAGE.search(name)}
        for call in map(as_object, as_list(message.get("tool_calls"))):
            found[str(call.get("id") or "")] = ProviderMetadata(extra_of(call), beside)
            beside = {}
    return found


def _of_blocks(blocks: Sequence[Mapping[str, Any]]) -> dict[str, ProviderMetadata]:
    found: dict[str, ProviderMetadata] = {}
    thinking: list[Mapping[str, Any]] = []
    for block in blocks:
        if block.get("type") in _THINKING and (block.get("signature") or block.get("data")):
            thinking.append(block)
        elif block.get("type") == "tool_use":
            found[str(block.get("id") or "")] = ProviderMetadata(extra_of(block), thinking=thinking)
            thinking = []
    return found


def restore_metadata(
    wire: str, request: Mapping[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
) -> Mapping[str, Any]:
    """Give a provider back what it said, where the caller left it out.

    Args:
        wire: the provider's.
        request: in that wire.
        own: what this model said in this attempt, by call id.
        others: what other models said: fields that this one does not know, and would refuse.

    Returns:
        The request; the same object where nothing changes.
    """
    if not own and not others:
        return request
    given = [as_object(message) for message in as_list(request.get("messages"))]
    one = _blocks_put_back if wire == "anthropic" else _calls_put_back
    messages = [one(message, own, others) if message.get("role") == "assistant" else message for message in given]
    return request if messages == given else {**request, "messages": messages}


def _calls_put_back(
    message: dict[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
) -> dict[str, Any]:
    calls: list[dict[str, Any]] = []
    beside: dict[str, Any] = {}
    foreign: set[str] = set()
    for call in map(as_object, as_list(message.get("tool_calls"))):
        mine, other = (
            own.get(str(call.get("id")), ProviderMetadata()),
            others.get(str(call.get("id")), ProviderMetadata()),
        )
        beside |= mine.of_message
        foreign |= {name for name, value in other.of_message.items() if message.get(name) == value}
        calls.append(_merged(call, mine, other))
    if not calls:
        return message
    kept = {name: value for name, value in message.items() if name not in foreign}
    return {**beside, **kept, "tool_calls": calls}


def _blocks_put_back(
    message: dict[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
) -> dict[str, Any]:
    given = [as_object(block) for block in as_list(message.get("content"))]
    thinks = any(block.get("type") in _THINKING and (block.get("signature") or block.get("data")) for block in given)
    blocks: list[dict[str, Any]] = []
    calls = 0
    for block in given:
        name = str(block.get("id"))
        if block.get("type") == "tool_use":
            thinking = [] if thinks else [dict(thought) for thought in own.get(name, ProviderMetadata()).thinking]
            # Before the first call the model thought before it spoke, and a turn must begin with its thinking.
            blocks = [*blocks, *thinking] if calls else [*thinking, *blocks]
            blocks.append(_merged(block, own.get(name, ProviderMetadata()), others.get(name, ProviderMetadata())))
            calls += 1
        else:
            blocks.append(block)
    foreign = [
        dict(thought) for block in given for thought in others.get(str(block.get("id")), ProviderMetadata()).thinking
    ]
    blocks = [block for block in blocks if block not in foreign]
    return message if blocks == given else {**message, "content": blocks}


def _merged(call: dict[str, Any], own: ProviderMetadata, other: ProviderMetadata) -> dict[str, Any]:
    foreign = {name for name, value in other.of_call.items() if call.get(name) == value}
    kept = {name: value for name, value in call.items() if name not in foreign}
    return {**own.of_call, **kept}
