"""Every format in, out through every export, and in again: what docs/exports.md calls kept is kept."""

import json
import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from foreign_documents import DOCUMENTS
from generated import leaves
from synthbench.contracts.steps import Action, Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.conversation import read_out_of_text
from synthbench.datasets.formats.export import export_text
from synthbench.datasets.formats.foreign import Source, digest_of, load_json, read
from synthbench.datasets.formats.messages import to_messages

FORMATS = ("json", "atif", "messages")
DOCS = Path(__file__).parents[3] / "docs" / "exports.md"
ROW = re.compile(r"^\| `([^`]+)` \| (kept|lost) \| (kept|lost) \| (kept|lost|shown) \|$", re.MULTILINE)
FULL = os.environ.get("FULL") == "1"
REAL = os.environ.get("SYNTHBENCH_TEST_TRAJECTORIES", "")


def examples(form: str) -> settings:
    """Records of ours are large: fewer of them."""
    return settings(
        deadline=None,
        max_examples=1000 if FULL else 5 if form == "json" else 15,
        phases=[Phase.generate, Phase.shrink] if FULL else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def table() -> dict[str, dict[Any, str]]:
    """The fate of each field of the record on its way through each export, by the row that names it most closely."""
    rows = {name: dict(zip(FORMATS, fates, strict=True))
            for name, *fates in ROW.findall(DOCS.read_text("utf-8"))}  # fmt: skip
    found: dict[str, dict[Any, str]] = {}
    used: set[str] = set()
    for leaf in leaves(Trajectory):
        parts = leaf.split(".")
        names = [leaf, *(".".join([*parts[:cut], "*"]) for cut in range(len(parts) - 1, 0, -1))]
        row = next((name for name in names if name in rows), None)
        assert row is not None, f"docs/exports.md says nothing of {leaf}"
        used.add(row)
        found[leaf] = rows[row]
    assert set(rows) - used == set(), "rows of fields that are not there"
    return found


TABLE = table()


def taken_in(document: Any, form: str | None = None) -> Trajectory:
    return read(document, Source("a.json", digest_of(document)), form)[0]


def again(record: Trajectory, form: str) -> Trajectory:
    """A record after an export and an import, without telling the format."""
    document = load_json(export_text(record, form))
    made, name = read(document, Source("b.json", digest_of(document)))
    assert name == form
    return made


def values_at(value: Any, path: list[str]) -> Iterator[Any]:
    if value is None:
        return
    if not path:
        yield value
    elif path[0].endswith("[]"):
        for one in value[path[0].removesuffix("[]")]:
            yield list(values_at(one, path[1:]))
    else:
        yield from values_at(value[path[0]], path[1:])


def as_conversation(record: Trajectory) -> Trajectory:
    """The record with calls that were read out of texts back in these texts, as a conversation has them."""

    def unread(step: Step) -> Step:
        message = read_out_of_text(step)
        if message is None:
            return step
        action = Action(message=message["content"] or "", reasoning=step.action.reasoning)
        seen = [one.model_copy(update={"tool_call_id": ""}) for one in step.observations]
        return step.model_copy(update={"action": action, "observations": seen})

    return record.model_copy(update={"steps": [unread(step) for step in record.steps]})


def shown(record: Trajectory) -> list[list[str]]:
    return [[one.content if one.shown is None else one.shown for one in step.observations] for step in record.steps]


def check(before: Trajectory, after: Trajectory, form: str) -> None:
    if form == "messages":
        before = as_conversation(before)
    old, new = before.to_dict(), after.to_dict()
    for leaf, fates in TABLE.items():
        path = leaf.split(".")
        if fates[form] == "kept" and not (leaf.startswith("steps[].model_call") and not any(
            step.model_call for step in before.steps
        )):  # fmt: skip
            assert list(values_at(new, path)) == list(values_at(old, path)), leaf
        elif fates[form] == "shown":
            assert [[one.content for one in step.observations] for step in after.steps] == shown(before), leaf
    assert before.imported is not None
    assert after.imported is not None
    assert before.imported.left_out.items() <= after.imported.left_out.items() or form == "messages"


@pytest.mark.parametrize(("first", "second"), list(product(DOCUMENTS, FORMATS)))
def test_a_round_trip_keeps_what_the_table_says(first: str, second: str):
    @examples(first)
    @given(DOCUMENTS[first])
    def holds(document: dict[str, Any]) -> None:
        before = taken_in(json.loads(json.dumps(document)), first)
        check(before, again(before, second), second)

    holds()


@pytest.mark.parametrize("first", list(DOCUMENTS))
def test_messages_are_the_same_through_two_exports_in_any_order(first: str):
    @examples(first)
    @given(DOCUMENTS[first], st.sampled_from(list(product(FORMATS, FORMATS))))
    def holds(document: dict[str, Any], ways: tuple[str, str]) -> None:
        record = taken_in(json.loads(json.dumps(document)), first)
        wanted = to_messages(record)
        for way in ways:
            record = again(record, way)
        assert to_messages(record) == wanted

    holds()


@pytest.mark.skipif(not REAL, reason="SYNTHBENCH_TEST_TRAJECTORIES names no folder of real trajectories")
def test_real_trajectories_keep_their_messages_through_every_export():
    files = sorted(Path(REAL).glob("*.traj.json"))
    assert files
    for file in files:
        document = load_json(file.read_bytes())
        record = taken_in(document)
        row = to_messages(record)
        plain = [{"role": one["role"], "content": one["content"]} for one in row["messages"]]
        original = [{"role": one["role"], "content": one["content"]} for one in document["messages"]]
        assert plain == original, file.name
        for way in FORMATS:
            assert to_messages(again(record, way)) == row, (file.name, way)
    print(f"{len(files)} real trajectories: the same messages through {', '.join(FORMATS)} and back")
