"""Errors of the record and the artifact store."""

from synthbench.chassis.errors import Poison, Transient


class DatabaseUnavailable(Transient):
    """Postgres does not answer; the message says where and why, never with a password."""


class MigrationError(Exception):
    """A migration is missing, was changed after it was applied, or failed."""


class ArtifactStoreUnavailable(Transient):
    """The store cannot be read or written now (full, read-only, away)."""


class ArtifactNotFound(LookupError):
    """Nothing is stored under this URI or key."""


class NoArtifactUri(ArtifactNotFound, Poison):
    """The text is no artifact URI: nothing can ever be stored there, so an event that names it is refused."""


class ArtifactCorrupt(Exception):
    """The stored content does not match its digest, or is not in the format that it should have."""


class ArtifactConflict(Exception):
    """The key is taken by different content; keys are write-once."""


class NotSupported(Exception):
    """This kind of store cannot do it; the message says which one can."""
