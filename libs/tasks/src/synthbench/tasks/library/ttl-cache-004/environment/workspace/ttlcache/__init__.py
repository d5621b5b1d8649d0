"""A cache with a size and a time to live."""

from ttlcache.cache import Cache
from ttlcache.clock import ManualClock, SystemClock

__all__ = ["Cache", "ManualClock", "SystemClock"]
