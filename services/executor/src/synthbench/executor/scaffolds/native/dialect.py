"""How the model is spoken to: by function calls, or by blocks in plain text."""

from collections.abc import Sequence
from typing import Any, Protocol

from synthbench.contracts.steps import Action, Observation


class Dialect(Protocol):
    """Between the messages of a conversation and our records. Pure."""

    @property
    def nudge(self) -> str:
        """What a turn without an action is answered."""
        ...

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The tools that go into the request beside the messages."""
        ...

    def read_action(self, message: dict[str, Any]) -> Action:
        """Read an assistant message, however broken."""
        ...

    def assistant_message(self, action: Action) -> dict[str, Any]:
        """The message as it goes back into the conversation."""
        ...

    def answers(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:
        """What the model is told of what it did."""
        ...
