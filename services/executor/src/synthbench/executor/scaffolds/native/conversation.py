"""What a model and its tools have said to each other, and how much patience is left. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_list, parse_object
from synthbench.contracts.steps import Action, Observation, Step
from synthbench.executor.domain.endings import AgentFailed, GaveUp, Submitted
from synthbench.executor.domain.resuming import Start
from synthbench.executor.scaffolds.native.turns import assistant_message, tool_messages

_PATIENCE = 3
"""So many turns in a row without a usable tool call end the attempt."""


class Conversation:
    """Messages in OpenAI's format, which only ever grow, and the counts by which an attempt ends.

    Args:
        opening: the messages before the first turn.
    """

    def __init__(self, opening: Sequence[dict[str, Any]]) -> None:
        self.messages = list(opening)
        self._silent = 0
        self._unusable = 0
        self._last: tuple[Action, Sequence[Observation]] | None = None

    def take(self, action: Action, observations: Sequence[Observation]) -> None:
        """Take in one turn."""
        self.messages += [assistant_message(action), *tool_messages(action, observations)]
        self._silent = 0 if action.tool_calls else self._silent + 1
        self._unusable = self._unusable + 1 if action.tool_calls and all(_unusable(o) for o in observations) else 0
        self._last = action, observations

    def resume(self, start: Start) -> None:
        """Go on after turns that were recorded: word for word what the model was sent then, and a note where needed."""
        for step in start.steps:
            self.take(step.action, step.observations)
        if start.steps:
            sent = [message for step in start.steps for message in messages_sent(step)]
            last = start.steps[-1]
            self.messages = [*sent, assistant_message(last.action), *tool_messages(last.action, last.observations)]
        if start.note:
            self.messages.append({"role": "user", "content": start.note})

    def check(self) -> None:
        """After each turn.

        Raises:
            Submitted: the work was handed in.
            GaveUp: it has said nothing that can be done, again and again.
            AgentFailed: its calls cannot be understood, again and again.
        """
        if self._last is None:
            return
        action, observations = self._last
        if (summary := handed_in(action, observations)) is not None:
            raise Submitted(summary)
        if self._silent == _PATIENCE:
            raise GaveUp(action.message.strip()[:200] or "the model answered nothing")
        if self._unusable == _PATIENCE:
            raise AgentFailed(
                f"{_PATIENCE} turns in a row without a usable tool call: {observations[-1].content[:200]}"
            )


def handed_in(action: Action, observations: Sequence[Observation]) -> str | None:
    """The summary of a submit that went through, None where there was none."""
    for call, seen in zip(action.tool_calls, observations, strict=False):
        if call.name == "submit" and seen.error is None:
            return str(parse_object(call.arguments).get("summary") or "")
    return None


def messages_sent(step: Step) -> list[dict[str, Any]]:
    """The messages that were new in a step's request."""
    return as_list(json.loads(step.model_call.messages)) if step.model_call else []


def _unusable(observation: Observation) -> bool:
    return observation.error in ("unknown_tool", "bad_arguments")
