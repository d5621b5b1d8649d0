"""Options whose values are names of installed plug-ins, with help that lists these."""

from importlib.metadata import entry_points
from typing import Annotated

from cyclopts import Parameter


def listed(group: str) -> str:
    """Return the names of a group of entry points in words, such as `bubblewrap, docker or process`."""
    *others, last = sorted({entry.name for entry in entry_points(group=group)}) or ["none is installed"]
    return f"{', '.join(others)} or {last}" if others else last


Engine = Annotated[
    str | None, Parameter(help=f"{listed('synthbench.sandboxes')}; by default the best one that works here.")
]
"""A sandbox engine."""
ScaffoldName = Annotated[str, Parameter(help=f"{listed('synthbench.scaffolds')}.")]
"""The name of a scaffold."""
