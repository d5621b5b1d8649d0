"""The conversation of a model and its tools, with the counts by which an attempt ends. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthbench.contracts.loose import parse_object
from synthbench.contracts.steps import Action, Observation
from synthbench.executor.domain.endings import AgentFailed, GaveUp, Submitted
from synthbench.executor.domain.resuming import StartingPoint, request_messages
from synthbench.executor.scaffolds.native.action_format import ActionFormat
from synthbench.executor.scaffolds.native.window import ContextWindow

_CIRCLE = (
    "You have done exactly this {count} times in a row, and the answer was always the same. Doing it again will not "
    "change it: try something else, or submit."
)


@dataclass(frozen=True)
class TurnLimits:
    """The limits on fruitless turns."""

    turns: int = 3
    """Turns in a row without a usable action that end the attempt; each before them is answered with the problem."""
    repeats: int = 5
    """Equal turns in a row from which on the agent is told so; twice as many end the attempt."""


class NativeConversation:
    """Messages, how much room they have, and the counts by which an attempt ends.

    Args:
        opening: the messages before the first turn.
        dialect: how the model is spoken to.
        patience: when it ends.
        window: the room that the messages have.
    """

    def __init__(
        self, opening: Sequence[dict[str, Any]], dialect: ActionFormat, patience: TurnLimits, window: ContextWindow
    ) -> None:
        self.messages = list(opening)
        self._dialect = dialect
        self._patience = patience
        self.window = window
        self._silent = 0
        self._unusable = 0
        self._equal = 0
        self._last: tuple[Action, Sequence[Observation]] | None = None

    def answered(self, action: Action, observations: Sequence[Observation]) -> list[Observation]:
        """Return the answer to a turn: the tools' observations, and a nudge where it leads nowhere. Changes nothing."""
        if not action.tool_calls:
            return [Observation(content=self._dialect.nudge)]
        count = self._equal_with(action, observations)
        if count < self._patience.repeats:
            return list(observations)
        return [*observations, Observation(content=_CIRCLE.format(count=count))]

    def take(self, action: Action, observations: Sequence[Observation]) -> None:
        """Add a turn with its answer."""
        self.messages += self._turn(action, observations)
        self._silent = 0 if action.tool_calls else self._silent + 1
        self._unusable = self._unusable + 1 if action.tool_calls and all(map(_unusable, observations)) else 0
        self._equal = self._equal_with(action, observations)
        self._last = action, observations

    def resume(self, start: StartingPoint, *, note: str = "") -> None:
        """Add turns that were recorded: word for word what the model was sent then, and notes where needed."""
        sent: list[dict[str, Any]] = []
        for step in start.steps:
            if step.kind == "condensation":
                self.condense(step.action.message)
                continue
            sent = request_messages(sent, step.model_call)
            self.messages = list(sent)
            self.window.measured(step.usage.input_tokens, sent)
            self.take(step.action, step.observations)
        if notes := " ".join(part for part in (start.note, note) if part):
            self.messages.append({"role": "user", "content": notes})

    def condense(self, summary: str) -> None:
        """Replace the old turns by a summary."""
        self.messages = self.window.condensed(self.window.elided(self.messages), summary)

    def check(self) -> None:
        """After each turn.

        Raises:
            Submitted: the work was handed in.
            GaveUp: it has said nothing that can be done, again and again.
            AgentFailed: its actions cannot be understood, or are the same ones, again and again.
        """
        if self._last is None:
            return
        action, observations = self._last
        if (summary := handed_in(action, observations)) is not None:
            raise Submitted(summary)
        turns = self._patience.turns
        if self._silent == turns:
            raise GaveUp(action.message.strip()[:200] or "the model answered nothing")
        if self._unusable == turns:
            raise AgentFailed(f"{turns} turns in a row without a usable tool call: {observations[0].content[:200]}")
        if self._equal == 2 * self._patience.repeats:
            called = ", ".join(call.name for call in action.tool_calls)
            raise AgentFailed(f"{self._equal} turns in a row were the same, and so were their answers: {called}")

    def _turn(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:
        return [self._dialect.assistant_message(action), *self._dialect.answers(action, observations)]

    def _equal_with(self, action: Action, observations: Sequence[Observation]) -> int:
        """Return how many equal turns in a row there would be with this one; 0 for one without a call."""
        if not action.tool_calls:
            return 0
        same = self._last is not None and _essence(*self._last) == _essence(action, observations)
        return self._equal + 1 if same else 1


def handed_in(action: Action, observations: Sequence[Observation]) -> str | None:
    """Return the summary of a submit that was accepted; None where there was none."""
    for call, seen in zip(action.tool_calls, observations, strict=False):
        if call.name == "submit" and seen.error is None:
            return str(parse_object(call.arguments).get("summary") or "")
    return None


def _essence(action: Action, observations: Sequence[Observation]) -> list[tuple[object, ...]]:
    """Return what makes two turns equal: their calls and observations, without ids and durations."""
    return [
        (call.name, call.arguments, seen.content, seen.exit_code, seen.error)
        for call, seen in zip(action.tool_calls, observations, strict=False)
    ]


def _unusable(observation: Observation) -> bool:
    return observation.error in ("unknown_tool", "bad_arguments")
