"""The cache: least recently used entries go first, expired ones before all others."""

from collections import OrderedDict

from ttlcache.clock import SystemClock
from ttlcache.counters import Counters


class Cache:
    """A mapping that forgets.

    `max_size` entries at most; each lives `ttl` seconds after it was written. An entry is gone at the moment when its
    time is over, not after it.
    """

    def __init__(self, max_size, ttl, clock=None):
        if max_size < 1 or ttl <= 0:
            raise ValueError("max_size and ttl must be positive")
        self._max_size = max_size
        self._ttl = ttl
        self._clock = clock or SystemClock()
        self._entries = OrderedDict()
        self.counters = Counters()

    def put(self, key, value, ttl=None):
        """Store a value; `ttl` overrides the cache's own. Writing makes an entry the most recently used."""
        if ttl is not None and ttl <= 0:
            raise ValueError("ttl must be positive")
        self._drop_expired()
        self._entries[key] = (value, self._clock.now() + (self._ttl if ttl is None else ttl))
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_size:
            self._entries.popitem(last=False)
            self.counters.evictions += 1

    def get(self, key, default=None):
        """Return a value; reading makes it the most recently used, and does not prolong its life."""
        self._drop_expired()
        if key not in self._entries:
            self.counters.misses += 1
            return default
        self.counters.hits += 1
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def get_or_compute(self, key, compute, ttl=None):
        """Return the value, computing and storing it where there is none. A stored None is a value."""
        missing = object()
        value = self.get(key, missing)
        if value is missing:
            value = compute()
            self.put(key, value, ttl)
        return value

    def delete(self, key):
        """Forget a key; whether it was there."""
        self._drop_expired()
        return self._entries.pop(key, None) is not None

    def __len__(self):
        self._drop_expired()
        return len(self._entries)

    def __contains__(self, key):
        """Whether a live entry is there; neither counts nor touches it."""
        self._drop_expired()
        return key in self._entries

    def keys(self):
        """Live keys, the least recently used first."""
        self._drop_expired()
        return list(self._entries)

    def _drop_expired(self):
        now = self._clock.now()
        for key in [key for key, (_, ends) in self._entries.items() if ends <= now]:
            del self._entries[key]
            self.counters.expirations += 1
