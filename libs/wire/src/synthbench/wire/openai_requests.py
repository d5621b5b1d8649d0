"""Reading requests in OpenAI's format. Source: OpenAI's API reference, "Create chat completion"."""

from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.extent import extent_of
from synthbench.wire.reading import characters_of, check_tool, invalid, list_of, parsed
from synthbench.wire.request import ModelRequest
from synthbench.wire.usage import estimate_tokens

_IMAGE_TOKENS = 1500
"""Tokens of an image, for an estimate."""


def read_completion_request(wire: str, body: bytes) -> ModelRequest:
    """Read a request of a chat completion.

    Args:
        wire: name of the format that the caller speaks.
        body: JSON.

    Raises:
        Refusal: 400, it is none.
    """
    request = parsed(body)
    images = _check_messages(as_list(request.get("messages")))
    tools = list_of(request, "tools")
    for number, tool in enumerate(tools):
        _check_tool(f"tools.{number}", tool)
    model = request.get("model")
    if model is not None and not isinstance(model, str):
        raise invalid("model: name a model")
    extent_of(request)
    options = as_object(request.get("stream_options"))
    characters = characters_of(request["messages"]) if images else len(body)
    return ModelRequest(
        wire=wire,
        model=model or "",
        body=body,
        request=request,
        stream=bool(request.get("stream")),
        input_tokens=estimate_tokens(characters) + images * _IMAGE_TOKENS,
        tools=bool(tools),
        vision=bool(images),
        wants_usage=bool(options.get("include_usage")),
    )


def _check_tool(where: str, tool: object) -> None:
    given = as_object(tool)
    if given.get("type") == "function":
        function = as_object(given.get("function"))
        check_tool(f"{where}.function", function.get("name"), function.get("parameters"))
    elif not isinstance(given.get("type"), str):
        raise invalid(f"{where}: a tool has a type, such as function")


def _check_messages(messages: list[Any]) -> int:
    """Refuse messages that are none, or in an order that no provider takes; return the number of images."""
    if not messages:
        raise invalid("the body is no chat completion request: messages must be a list of roles and contents")
    images = 0
    waiting: set[str] = set()
    for number, message in enumerate(map(as_object, messages)):
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise invalid(f"messages.{number}: a message has a role and a content")
        if role == "tool":
            name = str(message.get("tool_call_id"))
            if name not in waiting:
                raise invalid(f"messages.{number}: a tool message answers a call of the assistant's turn before it")
            waiting.discard(name)
            continue
        if waiting:
            raise invalid(f"messages.{number}: tool calls without an answer: {', '.join(sorted(waiting))}")
        waiting = {str(as_object(call).get("id")) for call in as_list(message.get("tool_calls"))}
        content = message.get("content")
        if isinstance(content, list):
            images += sum(as_object(part).get("type") == "image_url" for part in as_list(content))  # pyright: ignore[reportUnknownArgumentType] - any JSON
    if waiting:
        raise invalid(f"messages: tool calls without an answer: {', '.join(sorted(waiting))}")
    return images
