"""Chat completions in OpenAI's format: what local providers read of a request, and the answers that they make. Pure."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.usage import estimate_tokens

_SUMMARY = re.compile(r"The first (\d+) turns of this work are left out here\.")


def turns_taken(request: Mapping[str, Any]) -> int:
    """Count the assistant's turns in a request, those included that a summary of the native scaffold stands for."""
    messages = [as_object(message) for message in as_list(request.get("messages"))]
    summaries = [_SUMMARY.match(str(one.get("content"))) for one in messages if one.get("role") == "user"]
    return sum(one.get("role") == "assistant" for one in messages) + sum(int(found[1]) for found in summaries if found)


def tools_offered(request: Mapping[str, Any]) -> set[str]:
    """Return the names of the functions that may be called."""
    functions = [as_object(as_object(tool).get("function")) for tool in as_list(request.get("tools"))]
    return {str(function["name"]) for function in functions if function.get("name")}


def message_texts(request: Mapping[str, Any]) -> list[str]:
    """Return the text of each message of a request."""
    texts: list[str] = []
    for message in as_list(request.get("messages")):
        content = as_object(message).get("content")
        parts = [as_object(part).get("text") for part in as_list(content)]
        texts.append(content if isinstance(content, str) else "\n".join(str(part) for part in parts if part))
    return texts


def completion(model: str, request: Mapping[str, Any], text: str, calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Make a whole answer, with a usage that is estimated from the texts.

    Args:
        model: name that the answer says.
        request: the request, whose messages are counted as input.
        text: the assistant's text.
        calls: its tool calls, in OpenAI's format.
    """
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = list(calls)
    prompt = estimate_tokens(len(json.dumps(request.get("messages", []), ensure_ascii=False)))
    answer = estimate_tokens(len(text) + len(json.dumps(list(calls))))
    return {
        "id": f"chatcmpl-{uuid7().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }


def stream_of_completion(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a whole answer as the chunks of its stream: two for each choice, and a last one with the usage."""
    head = {**answer, "object": "chat.completion.chunk"}
    usage = head.pop("usage", None)
    chunks: list[dict[str, Any]] = []
    for choice in map(as_object, as_list(answer.get("choices"))):
        delta = dict(as_object(choice.get("message")))
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": number, **as_object(call)} for number, call in enumerate(calls)]
        index = choice.get("index", 0)
        piece: dict[str, Any] = {
            "index": index,
            "delta": delta,
            "logprobs": choice.get("logprobs"),
            "finish_reason": None,
        }
        end: dict[str, Any] = {
            "index": index,
            "delta": {},
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        chunks += [{**head, "choices": [piece]}, {**head, "choices": [end]}]
    if usage:
        chunks.append({**head, "choices": [], "usage": usage})
    return chunks
