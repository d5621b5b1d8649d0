"""The formats of actions in a model's messages: function calls, or blocks in plain text. Pure."""

from collections.abc import Sequence
from typing import Any, Protocol

from synthbench.contracts.steps import Action, Observation
from synthbench.wire.turns import assistant_message, read_action, tool_messages


class ActionFormat(Protocol):
    """Translates between the messages of a conversation and recorded actions and observations."""

    @property
    def nudge(self) -> str:
        """The answer to a turn without an action."""
        ...

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the tools that go into the request beside the messages."""
        ...

    def read_action(self, message: dict[str, Any]) -> Action:
        """Read an assistant message, however broken."""
        ...

    def assistant_message(self, action: Action) -> dict[str, Any]:
        """Return the message of an action as it goes back into the conversation."""
        ...

    def answers(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:
        """Return the messages that tell the model the observations of its action."""
        ...


class FunctionCallFormat:
    """Actions are function calls, as OpenAI's messages have them."""

    nudge = "You did not call a tool. Continue with a tool call; when the work is done, call submit."

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Offer all tools."""
        return tools

    def read_action(self, message: dict[str, Any]) -> Action:
        """Read the function calls of an assistant message."""
        return read_action(message)

    def assistant_message(self, action: Action) -> dict[str, Any]:
        """Return an assistant message with function calls."""
        return assistant_message(action)

    def answers(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:  # noqa: ARG002 - as in the protocol
        """Return one message with role `tool` for each observation."""
        return tool_messages(observations)
