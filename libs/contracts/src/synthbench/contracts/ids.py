"""Ids and digests.

Ids are UUIDv7 (RFC 9562), so that they sort by the time of their making and index well.
"""

import hashlib
import json
import os
import time
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("6d1d9d0e-6a0b-5f6e-9a53-53594e544842")


def uuid7() -> UUID:
    """Make a new id: 48 bits of Unix milliseconds, 74 random bits (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def derived_id(*parts: object) -> UUID:
    """Return the id that always follows from `parts` (UUIDv5); for what must be the same when it is done twice."""
    return uuid5(_NAMESPACE, "/".join(str(part) for part in parts))


def sha256_digest(data: bytes) -> str:
    """Return `sha256:<64 hex digits>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Encode JSON types in one way only: sorted keys, no spaces, UTF-8. What digests are taken over.

    Lone surrogates of other people's documents are encoded like any other character, which is not UTF-8.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="surrogatepass")
