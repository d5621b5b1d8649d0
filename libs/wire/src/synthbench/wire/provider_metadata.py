"""Provider metadata: fields that a provider says beside a tool call and wants back with the next request. Pure.

Thought signatures (Gemini's `extra_content`), encrypted reasoning (OpenRouter's `reasoning_details`), signed thinking
(Anthropic's `thinking` and `redacted_thinking` blocks): agents drop them, other wires have no field for them, and
without them the provider refuses the conversation or thinks anew. They are kept by the id of the call.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_list, as_object

_OF_CALL = {"id", "type", "function", "custom", "index", "name", "input", "cache_control"}
_OF_MESSAGE = re.compile("extra_content|reasoning_details|signature|encrypted|opaque|provider_specific|response_id")
_THINKING = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class ProviderMetadata:
    """The metadata of one call, in the words of the provider's wire format."""

    of_call: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the call itself."""
    of_message: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the message, kept with its first call. OpenAI's wire only."""
    thinking: Sequence[Mapping[str, Any]] = ()
    """Blocks that came before the call. Anthropic's wire only."""

    def __bool__(self) -> bool:
        return bool(self.of_call or self.of_message or self.thinking)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"of_call": self.of_call, "of_message": self.of_message, "thinking": list(self.thinking)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "ProviderMetadata":
        """Read the JSON object that `to_dict` makes."""
        thinking = [as_object(block) for block in as_list(kept.get("thinking"))]
        return cls(as_object(kept.get("of_call")), as_object(kept.get("of_message")), thinking)


def extra_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a call that its wire format does not define."""
    return {name: value for name, value in call.items() if name not in _OF_CALL and value is not None}


def metadata_of_calls(answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:
    """Read the metadata of a chat completion.

    Args:
        answer: the provider's whole answer; every call has an id.

    Returns:
        Metadata by call id; also the calls that have none.
    """
    found: dict[str, ProviderMetadata] = {}
    for choice in map(as_object, as_list(answer.get("choices"))):
        message = as_object(choice.get("message"))
        beside = {name: value for name, value in message.items() if value and _OF_MESSAGE.search(name)}
        for call in map(as_object, as_list(message.get("tool_calls"))):
            found[str(call.get("id") or "")] = ProviderMetadata(extra_of(call), beside)
            beside = {}
    return found


def metadata_of_blocks(answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:
    """Read the metadata of Anthropic's message.

    Args:
        answer: the provider's whole answer; every call has an id.

    Returns:
        Metadata by call id; also the calls that have none.
    """
    blocks = [as_object(block) for block in as_list(answer.get("content"))]
    found: dict[str, ProviderMetadata] = {}
    thinking: list[Mapping[str, Any]] = []
    for block in blocks:
        if block.get("type") in _THINKING and (block.get("signature") or block.get("data")):
            thinking.append(block)
        elif block.get("type") == "tool_use":
            found[str(block.get("id") or "")] = ProviderMetadata(extra_of(block), thinking=thinking)
            thinking = []
    return found


def restore_on_calls(
    request: Mapping[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
) -> Mapping[str, Any]:
    """Give a provider back what it said beside its calls, in a request of a chat completion."""
    return _restored(request, own, others, _restored_on_calls)


def restore_on_blocks(
    request: Mapping[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
) -> Mapping[str, Any]:
    """Give a provider back what it said before its calls, in Anthropic's request."""
    return _restored(request, own, others, _restored_on_blocks)


_Restore = Callable[
    [dict[str, Any], Mapping[str, ProviderMetadata], Mapping[str, ProviderMetadata]],
    dict[str, Any],
]


def _restored(
    request: Mapping[str, Any],
    own: Mapping[str, ProviderMetadata],
    others: Mapping[str, ProviderMetadata],
    restore: _Restore,
) -> Mapping[str, Any]:
    if not own and not others:
        return request
    given = [as_object(message) for message in as_list(request.get("messages"))]
    messages = [restore(message, own, others) if message.get("role") == "assistant" else message for message in given]
    return request if messages == given else {**request, "messages": messages}


def _restored_on_calls(
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


def _restored_on_blocks(
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
