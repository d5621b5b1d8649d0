"""An agent's changes, brought into a workspace that it never touched."""

from collections.abc import Collection, Sequence

from synthbench.executor.domain.fault import is_agents
from synthbench.sandbox.protocol import Sandbox

_REASON = 300
"""Characters that are told of why a change was left out."""


async def applied(sandbox: Sandbox, changes: Sequence[bytes], protected: Collection[str] = ()) -> list[str]:
    """Bring changes into a workspace, one after the other; return what was left out of them, each path once."""
    left_out: dict[str, None] = {}
    for change in changes:
        try:
            left_out |= dict.fromkeys(await sandbox.apply(change, protected=protected))
        except Exception as error:
            if not is_agents(error):
                raise
            left_out |= {f"(the whole change) {error}"[:_REASON]: None}
    return list(left_out)
