"""Records that an agent writes itself: each step keeps the entries that are new."""

import json
from collections.abc import Callable
from typing import Any

from synthbench.contracts.loose import as_list, parse_object
from synthbench.executor.capture.running import Fetch


def _as_it_is(entry: Any) -> Any:
    return entry


class GrowingRecord:
    """A JSON file of the agent's folder with a list in it that grows by each turn.

    Args:
        name: of the file.
        field: of the list in its object.
        kept: what to keep of an entry.
    """

    def __init__(self, name: str, field: str, kept: Callable[[Any], Any] = _as_it_is) -> None:
        self._name = name
        self._field = field
        self._kept = kept
        self._seen = 0

    async def of_turn(self, fetch: Fetch) -> str:
        """The entries since the last time, as a JSON list; empty where there are none. For `run_agent`."""
        entries = as_list(parse_object(await fetch(self._name) or b"").get(self._field))
        new, self._seen = entries[self._seen :], max(self._seen, len(entries))
        return json.dumps([self._kept(entry) for entry in new], ensure_ascii=False) if new else ""
