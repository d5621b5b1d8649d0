"""MinHash signatures and their LSH bands.

Sources: Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3.
"""

import struct
from dataclasses import dataclass
from typing import Any

import rensa  # pyright: ignore[reportMissingTypeStubs] - a Rust module

from synthbench.contracts.ids import sha256_digest
from synthbench.diversity.domain.canonical import shingles

PERMUTATIONS = 128
BANDS = 32
"""Of 4 rows each: a pair of similarity 0.8 shares a band with probability 0.9999, one of 0.3 with 0.23."""
_SEED = 20_260_101
_ROWS = PERMUTATIONS // BANDS
# rensa has no type stubs.
_minhash: Any = rensa.RMinHash  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - it is written in Rust, without types


@dataclass(frozen=True)
class Fingerprint:
    """The digest and the MinHash signature of a text, by which its copies are found."""

    exact: str
    """Digest of the canonical text."""
    signature: bytes
    """128 unsigned 32-bit numbers, little endian."""

    @property
    def bands(self) -> list[bytes]:
        """Keys that similar texts share, one for each band."""
        width = _ROWS * 4
        return [self.signature[start : start + width] for start in range(0, len(self.signature), width)]


def fingerprint(text: str) -> Fingerprint:
    """Make the fingerprint of a canonical text."""
    minhash: Any = _minhash(num_perm=PERMUTATIONS, seed=_SEED)
    minhash.update(sorted(shingles(text)))
    return Fingerprint(sha256_digest(text.encode()), struct.pack(f"<{PERMUTATIONS}I", *minhash.digest()))


def similarity(first: bytes, second: bytes) -> float:
    """Estimate the Jaccard similarity of two signatures, 0..1, with a standard error of at most 0.045."""
    one = struct.unpack(f"<{PERMUTATIONS}I", first)
    other = struct.unpack(f"<{PERMUTATIONS}I", second)
    return sum(a == b for a, b in zip(one, other, strict=True)) / PERMUTATIONS
