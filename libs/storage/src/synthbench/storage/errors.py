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
    """What was given is no artifact URI: nothing can ever be stored there, so an event that names it is refused."""


class ArtifactCorrupt(Exception):
    """What is stored does not hash to what it should."""


class ArtifactConflict(Exception):
    """The key is taken by different content; keys are write-once."""


class NotSupported(Exception):
    """This kind of store cannot do it; the message says what can."""
