"""An agent's changes, brought into a workspace that it never touched."""

from collections.abc import Collection, Sequence

from synthbench.sandbox.errors import ArchiveRefused, PathRefused
from synthbench.sandbox.protocol import Sandbox


async def applied(sandbox: Sandbox, changes: Sequence[bytes], protected: Collection[str] = ()) -> list[str]:
    """Bring changes into a workspace, one after the other; return what was left out of them, each path once."""
    left_out: dict[str, None] = {}
    for change in changes:
        try:
            left_out |= dict.fromkeys(await sandbox.apply(change, protected=protected))
        except (ArchiveRefused, PathRefused) as error:
            left_out |= {f"(the whole change) {error}": None}
    return list(left_out)
