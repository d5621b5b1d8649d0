"""The catalogue's change log in the artifact store: every changed row of its tables, in order, in write-once segments.

`catalogue/<number>` is zstd over JSON lines: `{"table": …, "gone": false, "row": {…}}`. The collector writes them; from
them and from the stored trajectories the catalogue can be restored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard

from synthbench.storage.artifacts import ArtifactStore, key_uri
from synthbench.storage.errors import ArtifactCorrupt

_PREFIX = "catalogue/"
_MOST_BYTES = 1024**3


@dataclass(frozen=True)
class RowChange:
    """A row as it is after a change; with `gone` as it was before it was deleted."""

    table: str
    gone: bool
    row: dict[str, Any]


async def segment_numbers(store: ArtifactStore) -> list[int]:
    """Return the numbers of the segments, oldest first.

    Raises:
        ArtifactCorrupt: something else is stored among them.
    """
    found: list[int] = []
    async for key in store.list(_PREFIX):
        number = key.removeprefix(_PREFIX)
        if not number.isdigit():
            raise ArtifactCorrupt(f"{key} is no segment of the catalogue")
        found.append(int(number))
    return found


async def write_segment(store: ArtifactStore, number: int, changes: Iterable[tuple[str, bool, str]]) -> None:
    """Write a segment: of each change the table, whether the row was deleted, and the row as JSON.

    Raises:
        ArtifactConflict: the number is taken by other changes.
    """
    lines = (
        b'{"table":%s,"gone":%s,"row":%s}\n' % (orjson.dumps(table), b"true" if gone else b"false", row.encode())
        for table, gone, row in changes
    )
    packed = zstandard.ZstdCompressor(level=3).compress(b"".join(lines))
    await store.put_named(_key(number), packed)


async def read_segment(store: ArtifactStore, number: int) -> list[RowChange]:
    """Read a segment, oldest change first.

    Raises:
        ArtifactNotFound: no segment has this number.
        ArtifactCorrupt: it cannot be read.
    """
    key = _key(number)
    packed = await store.get(key_uri(key))
    try:
        if zstandard.frame_content_size(packed) > _MOST_BYTES:
            raise ArtifactCorrupt(f"{key} is no segment of the catalogue: more than {_MOST_BYTES} bytes")
        lines = [orjson.loads(line) for line in zstandard.decompress(packed).splitlines()]
        return [RowChange(line["table"], line["gone"], line["row"]) for line in lines]
    except (zstandard.ZstdError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"{key} is no segment of the catalogue: {error}") from error


def _key(number: int) -> str:
    return f"{_PREFIX}{number:012d}"
