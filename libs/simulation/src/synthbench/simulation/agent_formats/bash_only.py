"""The format of agents with `bash` alone: mini-swe-agent, which submits by a sentence, and those that just stop."""

from collections.abc import Mapping
from typing import Any

from synthbench.simulation.agent_formats.shell import in_shell
from synthbench.simulation.attempt import PolicyCall, PolicyTurn
from synthbench.wire.completions import message_texts, tools_offered

_TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}
_SUBMITTED = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def matches(request: Mapping[str, Any]) -> bool:
    """Whether a request offers `bash` and nothing else."""
    return tools_offered(request) == {"bash"}


def native_tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as in the other formats
    """Return all of them: a shell can do the work of each."""
    return _TOOLS


def render(turn: PolicyTurn, request: Mapping[str, Any]) -> PolicyTurn:
    """Write a turn as commands; to submit, echo mini-swe-agent's sentence where it is asked for, else call nothing."""
    submitted = next((given for name, given in turn.calls if name == "submit"), None)
    if submitted is None:
        return PolicyTurn(turn.text, [_call(in_shell(call)) for call in turn.calls])
    if any(_SUBMITTED in text for text in message_texts(request)[:2]):
        return PolicyTurn(turn.text, [_call(f"echo {_SUBMITTED}")])
    return PolicyTurn(f"{turn.text} {submitted.get('summary', '')}")


def _call(command: str) -> PolicyCall:
    return "bash", {"command": command}
