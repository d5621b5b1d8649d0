"""Reading requests in Anthropic's format. Source: Anthropic's API reference, "Create a Message"."""

from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.extent import extent_of
from synthbench.wire.reading import characters_of, check_tool, invalid, list_of, parsed
from synthbench.wire.request import ModelRequest
from synthbench.wire.usage import estimate_tokens

_IMAGE_TOKENS = 1600
"""Tokens of an image, for an estimate."""


def read_message_request(wire: str, body: bytes) -> ModelRequest:
    """Read a request of a message.

    Args:
        wire: name of the format that the caller speaks.
        body: JSON.

    Raises:
        Refusal: 400, it is none.
    """
    request = parsed(body)
    images = _check_messages(as_list(request.get("messages")))
    tools = list_of(request, "tools")
    for number, tool in enumerate(map(as_object, tools)):
        if tool.get("type") in (None, "custom"):
            check_tool(f"tools.{number}", tool.get("name"), tool.get("input_schema"))
    if request.get("max_tokens") is None:
        raise invalid("max_tokens: say how many tokens the answer may have")
    extent_of(request)
    model = request.get("model")
    if model is not None and not isinstance(model, str):
        raise invalid("model: name a model")
    characters = len(body)
    if images:
        characters = characters_of([request["messages"], request.get("system")])
    return ModelRequest(
        wire=wire,
        model=model or "",
        body=body,
        request=request,
        stream=bool(request.get("stream")),
        input_tokens=estimate_tokens(characters) + images * _IMAGE_TOKENS,
        tools=bool(tools),
        vision=bool(images),
    )


def _check_messages(messages: list[Any]) -> int:
    """Refuse messages that are none, or in an order that no provider takes; return the number of images."""
    if not messages:
        raise invalid("the body is no messages request: messages must be a list of roles and contents")
    images = 0
    waiting: set[str] = set()
    for number, message in enumerate(map(as_object, messages)):
        if message.get("role") not in ("user", "assistant", "system"):
            raise invalid(f"messages.{number}: the role is user or assistant; a system prompt is a field of its own")
        content = message.get("content")
        blocks = [as_object(block) for block in as_list(content)]
        results = {str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
        if results - waiting:
            raise invalid(f"messages.{number}: a tool_result answers a tool_use of the assistant's turn before it")
        if waiting - results:
            raise invalid(f"messages.{number}: tool_use without a tool_result: {', '.join(sorted(waiting - results))}")
        waiting = {str(block.get("id")) for block in blocks if block.get("type") == "tool_use"}
        images += sum(block.get("type") == "image" for block in blocks)
    if waiting:
        raise invalid(f"messages: tool_use without a tool_result: {', '.join(sorted(waiting))}")
    return images
