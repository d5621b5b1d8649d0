"""Applies an agent's changes to a workspace that the agent never touched."""

from collections.abc import Collection, Sequence

from synthbench.executor.domain.fault import is_agents
from synthbench.sandbox.protocol import Sandbox

_REASON = 300
"""Characters of the reason why a whole change was left out."""


async def apply_changes(sandbox: Sandbox, changes: Sequence[bytes], protected: Collection[str] = ()) -> list[str]:
    """Apply archives of changes to a workspace, one after the other.

    Args:
        sandbox: has the workspace.
        changes: archives as `Sandbox.diff` made them.
        protected: paths that stay as they are.

    Returns:
        The paths that were left out, each once; a line with the reason for an archive that was left out as a whole.
    """
    left_out: dict[str, None] = {}
    for change in changes:
        try:
            left_out |= dict.fromkeys(await sandbox.apply(change, protected=protected))
        except Exception as error:
            if not is_agents(error):
                raise
            left_out |= {f"(the whole change) {error}"[:_REASON]: None}
    return list(left_out)
