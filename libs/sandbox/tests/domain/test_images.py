"""Which images go."""

from synthbench.sandbox.domain.images import ImageRetention, StoredImage, expired

DAY = 86_400.0


def image(name: str, days: float, size: int = 10, *, in_use: bool = False) -> StoredImage:
    return StoredImage(name, f"t:{name}" if name else "", size, -days * DAY, in_use)


def gone(images: list[StoredImage], retention: ImageRetention) -> list[str]:
    return [one.id for one in expired(images, retention, now=0.0)]


def test_what_was_not_used_for_long_goes_unless_something_runs_from_it():
    images = [image("old", 15), image("lately", 1), image("running", 99, in_use=True)]
    assert gone(images, ImageRetention()) == ["old"]


def test_the_longest_unused_go_until_the_rest_fits():
    images = [image("a", 3), image("b", 2), image("c", 1), image("now", 0, size=100)]
    assert gone(images, ImageRetention(total_bytes=115)) == ["a", "b"]
    assert gone(images, ImageRetention(total_bytes=5)) == ["a", "b", "c"]


def test_layers_that_a_build_left_go_when_nobody_can_be_building_any_more():
    assert gone([image("", 0.01), image("", 0.5)], ImageRetention()) == [""]
