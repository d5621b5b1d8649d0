"""Segments of the catalogue: written once, read whole, and said plainly where they are none."""

from pathlib import Path

import pytest
import zstandard

from synthbench.storage.artifacts import FilesStore
from synthbench.storage.errors import ArtifactConflict, ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.segments import RowChange, read_segment, segment_numbers, write_segment


async def test_changes_come_back_in_their_order(tmp_path: Path):
    store = FilesStore(tmp_path)
    for number in (2, 1, 11):
        await write_segment(store, number, [("a", False, '{"x": "\\u2603"}'), ("b", True, '{"y": null}')])
    assert await segment_numbers(store) == [1, 2, 11]
    assert await read_segment(store, 2) == [RowChange("a", False, {"x": "☃"}), RowChange("b", True, {"y": None})]
    await write_segment(store, 2, [("a", False, '{"x": "\\u2603"}'), ("b", True, '{"y": null}')])
    with pytest.raises(ArtifactConflict):
        await write_segment(store, 2, [("a", False, "{}")])
    with pytest.raises(ArtifactNotFound):
        await read_segment(store, 3)


@pytest.mark.parametrize(
    "content",
    [b"no zstd", zstandard.compress(b"no json"), zstandard.compress(b"[]"), zstandard.compress(b'{"table": "a"}'),
     zstandard.compress(b'{"table": "a", "gone": false, "row": {}}' * 99)[:-4]],
)  # fmt: skip
async def test_what_is_no_segment_is_one_line(tmp_path: Path, content: bytes):
    store = FilesStore(tmp_path)
    await store.put_named("catalogue/000000000001", content)
    with pytest.raises(ArtifactCorrupt, match="catalogue/000000000001 is no segment"):
        await read_segment(store, 1)


async def test_what_else_lies_there_is_named(tmp_path: Path):
    store = FilesStore(tmp_path)
    await store.put_named("catalogue/readme", b"")
    with pytest.raises(ArtifactCorrupt, match="catalogue/readme"):
        await segment_numbers(store)
