"""Measures how full a conversation is, and shortens it: by its messages and the last usage alone. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_list, as_object

OPENING = 2
"""Messages before the first turn: how to work, and what to do. They always stay."""
_CHARACTERS_A_TOKEN = 4
_KEPT_TURNS = 4
"""The newest turns that stay as they are, if they are no more than half of all."""
_HEAD, _TAIL = 200, 100
_LONG = 600
"""Characters; a shorter answer is not worth eliding."""
_ROOM = 0.75
"""The share of the budget that eliding may leave in use; where it cannot, old turns are condensed."""
_TRANSCRIPT = 0.6
_SUMMARY = "The first {turns} turns of this work are left out here. In short, this is what happened:\n\n{summary}"
_TURNS = re.compile(r"The first (\d+) turns of this work are left out here\.")
Message = dict[str, Any]


class ContextWindow:
    """The context window of a conversation.

    Args:
        budget: tokens that a request may have.
        overhead: characters that go with every request beside its messages.
    """

    def __init__(self, budget: int, overhead: int = 0) -> None:
        self.budget = budget
        self._tokens = 0
        self._characters = -overhead

    def measured(self, tokens: int, sent: Sequence[Message]) -> None:
        """Note how many tokens a request really had; 0 where the model does not say."""
        if tokens > 0:
            self._tokens, self._characters = tokens, size(sent)

    def tokens(self, messages: Sequence[Message]) -> int:
        """Estimate the tokens of messages: those of the last request, and one for four characters of difference."""
        return self._tokens + (size(messages) - self._characters) // _CHARACTERS_A_TOKEN

    def over(self, messages: Sequence[Message]) -> bool:
        """Return whether the messages are too many to be sent."""
        return self.tokens(messages) > self.budget

    def roomy(self, messages: Sequence[Message]) -> bool:
        """Return whether the messages leave room for some turns."""
        return self.tokens(messages) <= self.budget * _ROOM

    def kept(self, messages: Sequence[Message]) -> int:
        """Return the index from which on messages stay as they are: the beginning of one of the newest turns."""
        begins = [index for index, one in enumerate(messages) if index >= OPENING and one["role"] == "assistant"]
        if not begins:
            return len(messages)
        total = size(messages)
        for turns in range(min(_KEPT_TURNS, len(begins)), 1, -1):
            start = begins[-turns]
            if 2 * size(messages[start:]) <= total:
                return start
        return begins[-1]

    def elided(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with long answers to old turns cut to their head and tail."""
        start = self.kept(messages)
        return [_short(one) if OPENING <= index < start else one for index, one in enumerate(messages)]

    def old(self, messages: Sequence[Message]) -> list[Message]:
        """Return the turns that a summary can stand for; empty where there is none but the newest."""
        return list(messages[OPENING : self.kept(messages)])

    def transcript(self, messages: Sequence[Message]) -> str:
        """Return old turns as a text, cut in its middle where it would not fit into a request itself."""
        text = "\n\n".join(map(_told, messages))
        limit = int(self.budget * _CHARACTERS_A_TOKEN * _TRANSCRIPT)
        if len(text) <= limit:
            return text
        half = limit // 2
        return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"

    def condensed(self, messages: Sequence[Message], summary: str) -> list[Message]:
        """Return the messages with a summary in the place of the old turns."""
        text = _SUMMARY.format(turns=turns_in(self.old(messages)), summary=summary.strip() or "(nothing was told)")
        return [*messages[:OPENING], {"role": "user", "content": text}, *messages[self.kept(messages) :]]


def size(messages: Sequence[Message]) -> int:
    """Characters of what is said and called in messages."""
    return sum(map(_size, messages))


def _size(message: Message) -> int:
    calls = message.get("tool_calls") or ()
    return len(message.get("content") or "") + sum(
        len(call["function"]["name"]) + len(call["function"]["arguments"]) for call in calls
    )


def turns_in(messages: Sequence[Message]) -> int:
    """Return how many turns these messages are, or stand for."""
    stood_for = [_TURNS.match(one["content"] or "") for one in messages if one["role"] == "user"]
    return sum(one["role"] == "assistant" for one in messages) + sum(int(found[1]) for found in stood_for if found)


def _short(message: Message) -> Message:
    content = message.get("content") or ""
    if message["role"] == "assistant" or len(content) <= _LONG or _TURNS.match(content):
        return message
    left_out = len(content) - _HEAD - _TAIL
    note = f"[… {left_out:,} characters of this old answer left out; ask for them again if they matter …]"
    return {**message, "content": f"{content[:_HEAD]}\n{note}\n{content[-_TAIL:]}"}


def _told(message: Message) -> str:
    functions = [as_object(as_object(call).get("function")) for call in as_list(message.get("tool_calls"))]
    calls = [f"[calls {function.get('name')} {function.get('arguments')}]" for function in functions]
    who = {"assistant": "AGENT", "tool": "ANSWER"}.get(str(message["role"]), "USER")
    return f"{who}: " + "\n".join(filter(None, [message.get("content") or "", *calls]))
