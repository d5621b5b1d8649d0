"""The findings of an audit."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthbench.storage.queries import Queries

RECORD = Queries.load("synthbench.operations.audit", "record.sql")
CULPRITS = 20
"""The most culprits of one invariant that are named."""


@dataclass(frozen=True)
class Finding:
    """One invariant, and what breaks it."""

    invariant: str
    culprits: Sequence[str] = ()
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether nothing breaks the invariant."""
        return not self.culprits
