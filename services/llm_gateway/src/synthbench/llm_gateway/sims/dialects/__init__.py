"""Dialects: a policy thinks in the native tools; each agent is answered in the action format that it asks for. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from synthbench.llm_gateway.domain.conversation import tools_offered
from synthbench.llm_gateway.sims.dialects import bash_only, condensing, native_text, openhands, swe_agent
from synthbench.llm_gateway.sims.player import Turn

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Dialect:
    """One agent's way of asking and of being answered."""

    name: str
    hears: Callable[[Request], bool]
    """Whether a request is of this agent."""
    tools: Callable[[Request], set[str]]
    """The native tools that can be said in it."""
    say: Callable[[Turn, Request], Turn]
    """A turn as this agent expects it."""


def _as_it_is(turn: Turn, request: Request) -> Turn:  # noqa: ARG001 - as the other dialects
    return turn


NATIVE = Dialect("native", lambda request: True, tools_offered, _as_it_is)  # noqa: ARG005 - hears everybody

DIALECTS = (
    Dialect("condensing", condensing.hears, condensing.tools, condensing.say),
    Dialect("openhands", openhands.hears, openhands.tools, openhands.say),
    Dialect("swe-agent", swe_agent.hears, swe_agent.tools, swe_agent.say),
    Dialect("native-text", native_text.hears, native_text.tools, native_text.say),
    Dialect("swe-agent-text", swe_agent.hears_text, swe_agent.text_tools, swe_agent.say_text),
    Dialect("bash-only", bash_only.hears, bash_only.tools, bash_only.say),
    NATIVE,
)


def dialect_of(request: Request) -> Dialect:
    """The first dialect that a request is in; the native one where no other is."""
    return next(dialect for dialect in DIALECTS if dialect.hears(request))


__all__ = ["DIALECTS", "NATIVE", "Dialect", "dialect_of"]
