"""What happened in a cache."""

from dataclasses import asdict, dataclass


@dataclass
class Counters:
    """Numbers since the cache was made."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    """Entries pushed out for want of room."""
    expirations: int = 0
    """Entries that went because their time was over."""

    def as_dict(self):
        """As plain numbers."""
        return asdict(self)
