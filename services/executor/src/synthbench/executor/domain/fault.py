"""Decides whose failure an unexpected exception is, by the module in which it arose.

What the agent or its model produced is handled by code of its own: the scaffolds, the capture of model calls, the
wires, the records that are made of it, the walk over its files. An exception that nobody foresaw there is what their
data did, and counts as the agent's; otherwise an agent could void any attempt that it dislikes. All else (the bus, the
store, the gateway's client, the engines, our own course of an attempt) is ours.
"""

from collections.abc import Iterator
from types import TracebackType

from synthbench.chassis.errors import ChassisError
from synthbench.executor.domain.endings import AgentFailed, Draining, Ending, InfraFailure, Stopped
from synthbench.sandbox.errors import ArchiveRefused, PathRefused, SandboxError

_AGENTS = (
    "synthbench.executor.scaffolds",
    "synthbench.executor.capture",
    "synthbench.executor.domain",
    "synthbench.executor.recorder",
    "synthbench.executor.announcing",
    "synthbench.executor.workspace.kept_files",
    "synthbench.contracts",
    "synthbench.wire",
    "synthbench.tasks.verify",
    "synthbench.sandbox.tree",
    "synthbench.sandbox.diff",
    "synthbench.sandbox.domain",
)
_DETAIL = 500
"""Characters that are told of an exception; its message may hold all of what was wrong."""
_REFUSED = (PathRefused, ArchiveRefused)
"""What the agent left of its files is not what it should be."""
_OURS = (SandboxError, InfraFailure, ChassisError, Draining, Stopped, OSError, MemoryError)
"""Typed by whoever raised them: never the agent's, wherever they pass."""


def is_agents(error: BaseException) -> bool:
    """Return whether the agent's or its model's data caused this exception."""
    if isinstance(error, (*_REFUSED, Ending)):
        return True
    if isinstance(error, _OURS) or not isinstance(error, Exception):
        return False
    deepest = ""
    for name in _modules(error.__traceback__):
        deepest = name
    return any(deepest == module or deepest.startswith(module + ".") for module in _AGENTS)


def as_ending(error: Exception) -> Ending:
    """The agent's ending for an exception that is its own doing.

    Raises:
        Exception: the given one, where it is ours.
    """
    if isinstance(error, Ending):
        return error
    if not is_agents(error):
        raise error
    if isinstance(error, _REFUSED):
        return AgentFailed(f"the agent's files cannot be used: {error}")
    return AgentFailed(f"what the agent produced cannot be handled: {type(error).__name__}: {error}"[:_DETAIL])


def _modules(traceback: TracebackType | None) -> Iterator[str]:
    """The product's modules that the exception passed, the deepest last."""
    while traceback is not None:
        name = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if name.startswith("synthbench."):
            yield name
        traceback = traceback.tb_next
