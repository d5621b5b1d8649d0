"""Requests of an agent to its model: how they go on from one another, and how they go out. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.protocols import WireFormat
from synthbench.wire.turns import text_of

_FORMATTING = ("cache_control",)
"""Marks on a message that move from request to request without a change of what is said."""


@dataclass(frozen=True)
class AgentRequest:
    """One request of an agent."""

    wire: WireFormat
    request: Mapping[str, Any]

    @property
    def messages(self) -> list[Any]:
        """Its messages as they were sent."""
        return as_list(self.request.get("messages"))

    @property
    def base(self) -> str:
        """The request without its messages, as the record keeps it."""
        rest = {name: value for name, value in self.request.items() if name != "messages"}
        return json.dumps(rest, ensure_ascii=False, sort_keys=True)

    @property
    def stream(self) -> bool:
        """Whether the answer shall come in pieces."""
        return bool(self.request.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether a stream shall tell its usage."""
        return not self._usage_fields or bool(as_object(self.request.get("stream_options")).get("include_usage"))

    @property
    def _usage_fields(self) -> dict[str, Any]:
        """Fields to change so that a stream tells its usage; none where it always does."""
        return self.wire.usage_fields(self.request)

    def outgoing(self, route: str) -> bytes:
        """The request as the gateway gets it: for the attempt's route, whatever model the agent speaks of."""
        sent = {**self.request, "model": route}
        if self.stream and not self.wants_usage:
            sent |= self._usage_fields
        return json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()

    def after(self, earlier: "AgentRequest") -> list[Any] | None:
        """The messages that are new since an earlier request; None where this one does not go on from it."""
        before = [plain(message) for message in earlier.messages]
        if (
            self.wire.name != earlier.wire.name
            or [plain(message) for message in self.messages[: len(before)]] != before
        ):
            return None
        return self.messages[len(before) :]


def plain(message: Any) -> Any:
    """A message without what does not change its meaning, to be compared."""
    if content := as_object(message):
        kept = {name: plain(value) for name, value in content.items() if name not in _FORMATTING and value is not None}
        parts = as_list(kept.get("content"))
        if parts and all(as_object(part).get("type") == "text" for part in parts):
            kept["content"] = text_of(parts)
        return kept
    return [plain(one) for one in as_list(message)] or message
