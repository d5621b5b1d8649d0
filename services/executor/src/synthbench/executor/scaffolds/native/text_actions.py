"""The dialect of plain text, for models without function calling: one fenced block an answer. Pure."""

import json
import re
from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_object
from synthbench.contracts.steps import Action, Observation, ToolCall
from synthbench.wire.turns import text_of

FENCE = "```action"
_BLOCK = re.compile(rf"^{FENCE}[ \t]*\r?\n(.*?)^```[ \t]*\r?$", re.MULTILINE | re.DOTALL)
_SHAPE = 'one object {"name": …, "arguments": {…}}'


class TextBlockFormat:
    """Actions are fenced blocks in plain text, one in each answer."""

    nudge = (
        f"There is no {FENCE} block in your answer. Continue with exactly one; when the work is done, use it to submit."
    )

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: ARG002 - as in the protocol
        """Offer none: a model that needs this format would not understand them."""
        return []

    def read_action(self, message: dict[str, Any]) -> Action:
        """Read the call of the one block; anything else becomes a call with an error."""
        text = text_of(message.get("content"))
        blocks = _BLOCK.findall(text)
        if not blocks and FENCE in text:
            calls = [_unreadable(text, f"the {FENCE} block is not closed by ``` on a line of its own")]
        elif len(blocks) > 1:
            calls = [_unreadable(text, f"there are {len(blocks)} {FENCE} blocks; give one, and wait for its answer")]
        else:
            calls = [_call(block) for block in blocks]
        reasoning = text_of(message.get("reasoning_content") or message.get("reasoning"))
        return Action(message=text, reasoning=reasoning, tool_calls=calls)

    def assistant_message(self, action: Action) -> dict[str, Any]:
        """Return the assistant's message word for word."""
        return {"role": "assistant", "content": action.message}

    def answers(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:  # noqa: ARG002 - as in the protocol
        """Return the observations in one message of the user."""
        texts = [observation.shown or observation.content for observation in observations]
        return [{"role": "user", "content": "\n\n".join(texts)}]


def _call(block: str) -> ToolCall:
    try:
        parsed: Any = json.loads(block)
    except (ValueError, RecursionError) as error:
        return _unreadable(block, f"the block holds no JSON ({error}); it has to be {_SHAPE}")
    wanted = as_object(parsed)
    name, arguments = wanted.get("name"), wanted.get("arguments", {})
    if (
        not isinstance(name, str)
        or not name
        or not isinstance(arguments, dict)
        or wanted.keys() - {"name", "arguments"}
    ):
        return _unreadable(block, f"the block has to be {_SHAPE}")
    return ToolCall(id="action", name=name, arguments=json.dumps(arguments, ensure_ascii=False))


def _unreadable(text: str, error: str) -> ToolCall:
    return ToolCall(id="action", name="", arguments=text, error=error)
