"""The dialect of agents with `bash` alone: mini-swe-agent, which hands in by a sentence, and those that just stop."""

from collections.abc import Mapping
from typing import Any

from synthbench.llm_gateway.domain.conversation import tools_offered
from synthbench.llm_gateway.sims.dialects.editor import texts
from synthbench.llm_gateway.sims.dialects.shell import in_shell
from synthbench.llm_gateway.sims.player import Call, Turn

_TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}
_HANDED_IN = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def hears(request: Mapping[str, Any]) -> bool:
    """Whether a request offers `bash` and nothing else."""
    return tools_offered(request) == {"bash"}


def tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as the other dialects
    """What a shell can do."""
    return _TOOLS


def say(turn: Turn, request: Mapping[str, Any]) -> Turn:
    """A turn in commands; the work ends with mini-swe-agent's sentence where it is asked for, else without a call."""
    handed_in = next((given for name, given in turn.calls if name == "submit"), None)
    if handed_in is None:
        return Turn(turn.text, [_call(in_shell(call)) for call in turn.calls])
    if any(_HANDED_IN in text for text in texts(request)[:2]):
        return Turn(turn.text, [_call(f"echo {_HANDED_IN}")])
    return Turn(f"{turn.text} {handed_in.get('summary', '')}")


def _call(command: str) -> Call:
    return "bash", {"command": command}
