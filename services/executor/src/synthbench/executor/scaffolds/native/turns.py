"""The dialect of function calls, as OpenAI's messages have them. Pure."""

from collections.abc import Sequence
from typing import Any

from synthbench.contracts.steps import Action, Observation
from synthbench.wire.turns import assistant_message, read_action, tool_messages


class ToolDialect:
    """See `synthbench.executor.scaffolds.native.dialect.Dialect`."""

    nudge = "You did not call a tool. Continue with a tool call; when the work is done, call submit."

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All of them."""
        return tools

    def read_action(self, message: dict[str, Any]) -> Action:
        """See `read_action`."""
        return read_action(message)

    def assistant_message(self, action: Action) -> dict[str, Any]:
        """See `assistant_message`."""
        return assistant_message(action)

    def answers(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:  # noqa: ARG002 - as in the protocol
        """See `tool_messages`."""
        return tool_messages(observations)
