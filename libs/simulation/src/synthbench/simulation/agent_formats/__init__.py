"""Action formats of agents: a policy's native tool calls are written as each agent expects them. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synthbench.simulation.agent_formats import bash_only, condensing, native_text, openhands, swe_agent
from synthbench.simulation.attempt import PolicyTurn
from synthbench.wire.completions import tools_offered

Request = Mapping[str, Any]


@dataclass(frozen=True)
class AgentFormat:
    """The format in which one agent asks, and expects its model's actions."""

    name: str
    matches: Callable[[Request], bool]
    """Whether a request comes from this agent."""
    native_tools: Callable[[Request], set[str]]
    """Names of the native tools that can be expressed in this format."""
    render: Callable[[PolicyTurn, Request], PolicyTurn]
    """Writes a turn as this agent expects it."""


def _as_it_is(turn: PolicyTurn, request: Request) -> PolicyTurn:  # noqa: ARG001 - as in the other formats
    return turn


NATIVE = AgentFormat("native", lambda request: True, tools_offered, _as_it_is)  # noqa: ARG005 - matches everything

AGENT_FORMATS = (
    AgentFormat("condensing", condensing.matches, condensing.native_tools, condensing.render),
    AgentFormat("openhands", openhands.matches, openhands.native_tools, openhands.render),
    AgentFormat("swe-agent", swe_agent.matches, swe_agent.native_tools, swe_agent.render),
    AgentFormat("native-text", native_text.matches, native_text.native_tools, native_text.render),
    AgentFormat("swe-agent-text", swe_agent.matches_text, swe_agent.native_tools, swe_agent.render_text),
    AgentFormat("bash-only", bash_only.matches, bash_only.native_tools, bash_only.render),
    NATIVE,
)


def agent_format_of(request: Request) -> AgentFormat:
    """Return the first format that matches a request; the native one where no other does."""
    return next(agent_format for agent_format in AGENT_FORMATS if agent_format.matches(request))
