"""Decides which images that were built for tasks are kept. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredImage:
    """One image that was made here.

    Attributes:
        id: "sha256:<hex>".
        tag: its name; "" for layers that a build left.
        size: bytes, shared layers included.
        used: when it was used last, seconds since the epoch.
        in_use: a container runs from it.
    """

    id: str
    tag: str
    size: int
    used: float
    in_use: bool = False


@dataclass(frozen=True)
class ImageRetention:
    """The limits of the images that are kept.

    Attributes:
        seconds: since the last use.
        total_bytes: of all together.
        young_seconds: what was used so lately stays, whatever its size: somebody may be about to start from it.
    """

    seconds: float = 14 * 86_400.0
    total_bytes: int = 20 * 10**9
    young_seconds: float = 3_600.0


def expired(images: Sequence[StoredImage], retention: ImageRetention, now: float) -> Sequence[StoredImage]:
    """Return what goes: left-over layers, what was not used for long, and the longest unused of what is too much."""
    gone: list[StoredImage] = []
    total = sum(image.size for image in images)
    for image in sorted(images, key=lambda image: image.used):
        age = now - image.used
        if image.in_use or age < retention.young_seconds:
            continue
        if not image.tag or age > retention.seconds or total > retention.total_bytes:
            gone.append(image)
            total -= image.size
    return gone
