"""Conversations as chat fine-tuning has them: `{"messages": […], "tools": […]}`, a bare list, or a row of a dataset."""

import json
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Outcome, Usage
from synthbench.datasets.formats.foreign.building import Foreign, ForeignError, Source, unknown_fields
from synthbench.datasets.formats.foreign.conversation import Message, Told, cut

_KNOWN = {"messages", "tools", "instance_id", "model", "resolved", "patch"}


def read_messages(document: Any, source: Source) -> Foreign:
    """Read one. `messages` and `tools` may be JSON in a text, as datasets have them.

    Raises:
        ForeignError: there are no messages in it.
    """
    found: dict[str, Any] = as_object(document) or {"messages": document}
    messages, tools = _parsed(found.get("messages")), _parsed(found.get("tools"))
    if not as_list(messages):
        raise ForeignError("it has no messages")
    talk = cut(as_list(messages), _told, lambda _: None)
    resolved = found.get("resolved")
    return Foreign(
        scaffold="unknown",
        model=str(found.get("model") or ""),
        task=str(found.get("instance_id") or "") or f"{source.file}#{source.number}",
        instruction=talk.instruction,
        system_prompt=talk.system_prompt,
        tools=json.dumps(tools, ensure_ascii=False) if isinstance(tools, list) else "[]",
        steps=talk.steps,
        outcome=Outcome.UNSOLVED,
        detail="a conversation; nobody says how it ended",
        resolved=resolved if isinstance(resolved, bool) else None,
        patch=str(found.get("patch") or ""),
        left_out=talk.left_out + unknown_fields("", found, _KNOWN),
    )


def _told(message: Message) -> Told:  # noqa: ARG001 - as the other readers
    return Told(usage=Usage(calls=1, cost_known=False))


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ForeignError("its messages or tools are text that is no JSON") from error
