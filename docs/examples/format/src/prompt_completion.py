"""The export format `prompt-completion`: the messages before the model's first one, and all from there on.

Source: the conversational prompt-completion rows that TRL's SFT trainer takes.
"""

from typing import Any

from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.messages import to_messages


def prompt_completion(trajectory: Trajectory) -> dict[str, Any]:
    """Return a row with `prompt` and `completion`, each a list of OpenAI messages, and the schemas of the `tools`."""
    row = to_messages(trajectory)
    messages = row["messages"]
    roles = [message["role"] for message in messages]
    first = roles.index("assistant") if "assistant" in roles else len(roles)
    return {"prompt": messages[:first], "completion": messages[first:], "tools": row["tools"]}
