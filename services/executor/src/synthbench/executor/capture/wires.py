"""The two wires that agents speak: what they ask, what they are answered, what came of the turn before. Pure.

Sources: OpenAI's API reference, "Chat Completions"; Anthropic's API reference, "Messages".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synthbench.chassis.wire.assembling import whole_of
from synthbench.chassis.wire.usage import anthropic_usage, openai_usage
from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Usage
from synthbench.contracts.steps import Action, Observation, ToolCall
from synthbench.executor.scaffolds.native.turns import json_error, read_action, text_of

WireName = Literal["openai", "anthropic"]
PATHS: Mapping[str, WireName] = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}
_FORMATTING = ("cache_control",)
"""Marks on a message that move from request to request without a change of what is said."""
_CODE_MOST = 255


@dataclass(frozen=True)
class Asked:
    """One request of an agent."""

    wire: WireName
    path: str
    request: Mapping[str, Any]

    @property
    def messages(self) -> list[Any]:
        """As they were sent."""
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
        """Whether a stream shall tell its usage: Anthropic's always do."""
        return self.wire == "anthropic" or bool(as_object(self.request.get("stream_options")).get("include_usage"))

    def outgoing(self, route: str) -> bytes:
        """The request as the gateway gets it: for the attempt's route, whatever model the agent speaks of."""
        sent = {**self.request, "model": route}
        if self.stream and not self.wants_usage:
            sent["stream_options"] = {**as_object(self.request.get("stream_options")), "include_usage": True}
        return json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()

    def after(self, earlier: "Asked") -> list[Any] | None:
        """The messages that are new since an earlier request; None where this one does not go on from it."""
        before = [plain(message) for message in earlier.messages]
        if self.wire != earlier.wire or [plain(message) for message in self.messages[: len(before)]] != before:
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


def observed(wire: WireName, new: Sequence[Any]) -> list[Observation]:
    """What the messages of a request say about the turn before: the tools' results, else what the user said."""
    said = [as_object(message) for message in new if as_object(message).get("role") != "assistant"]
    results = list(_results(wire, said))
    return results or [_observation("", text_of(message.get("content"))) for message in said]


def _results(wire: WireName, said: Sequence[dict[str, Any]]) -> Iterator[Observation]:
    for message in said:
        if wire == "openai" and message.get("role") == "tool":
            yield _observation(str(message.get("tool_call_id") or ""), text_of(message.get("content")))
        elif wire == "anthropic":
            for block in map(as_object, as_list(message.get("content"))):
                if block.get("type") == "tool_result":
                    failed = "tool_error" if block.get("is_error") else None
                    yield _observation(str(block.get("tool_use_id") or ""), text_of(block.get("content")), failed)


def _observation(call_id: str, content: str, error: str | None = None) -> Observation:
    return Observation(
        tool_call_id=call_id,
        content=content,
        exit_code=_exit_code(content),
        total_bytes=len(content.encode()),
        error=error,
    )


def _exit_code(content: str) -> int | None:
    """Of a result that is a JSON object with a `returncode`; None where nothing tells it."""
    code = parse_object(content).get("returncode")
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) <= _CODE_MOST else None


def whole_answer(asked: Asked, raw: bytes) -> dict[str, Any]:
    """The answer as an object, put together where it came in pieces; empty where it is none."""
    if not asked.stream or raw.lstrip().startswith(b"{"):
        return parse_object(raw)
    try:
        return whole_of(asked.wire, raw)
    except (ValueError, KeyError, TypeError):
        return {}


def action_of(wire: WireName, answer: Mapping[str, Any]) -> Action:
    """The agent's turn, as the model wrote it."""
    if wire == "openai":
        choices = as_list(answer.get("choices"))
        return read_action(as_object(as_object(choices[0]).get("message")) if choices else {})
    blocks = [as_object(block) for block in as_list(answer.get("content"))]
    return Action(
        message="".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text"),
        reasoning="".join(str(block.get("thinking") or "") for block in blocks if block.get("type") == "thinking"),
        tool_calls=[_tool_use(block) for block in blocks if block.get("type") == "tool_use"],
    )


def _tool_use(block: Mapping[str, Any]) -> ToolCall:
    text = json.dumps(block.get("input", {}), ensure_ascii=False)
    return ToolCall(
        id=str(block.get("id") or ""), name=str(block.get("name") or ""), arguments=text, error=json_error(text)
    )


def usage_of(wire: WireName, answer: Mapping[str, Any]) -> Usage:
    """Tokens of an answer; a call without any where it does not say."""
    read = openai_usage if wire == "openai" else anthropic_usage
    return read(as_object(answer.get("usage"))) or Usage(calls=1)


def refusal(wire: WireName, code: str, message: str) -> bytes:
    """The body of an error, as the wire has it."""
    error = {"type": "permission_error", "message": message, "code": code}
    body = {"type": "error", "error": error} if wire == "anthropic" else {"error": {**error, "param": None}}
    return json.dumps(body, ensure_ascii=False).encode()
