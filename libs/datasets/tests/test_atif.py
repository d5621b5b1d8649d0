"""ATIF: what is written is valid, and what comes back has lost what docs/exports.md says, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from generated import leaves, records
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.atif import AtifTrajectory
from synthbench.datasets.formats.atif_mapping import from_atif, to_atif

DOCS = Path(__file__).parents[3] / "docs" / "exports.md"
ROW = re.compile(r"^\| `([^`]+)` \| .* \| (kept|extra|lost) \|$", re.MULTILINE)

_OBJECTS = st.dictionaries(
    st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=2
)
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "arguments": _OBJECTS.map(lambda one: json.dumps(one, ensure_ascii=False))
    | _OBJECTS.map(json.dumps)
    | st.sampled_from(["", "{", "[1]", '{"a": NaN}', '{"a": "\\ud800"}', '{"a":1, "a":2}', '{"a": 1e400}', "null"]),
    "tools": st.lists(_OBJECTS, max_size=2).map(json.dumps) | st.sampled_from(["[]", "", "[1]", "{}", '[{"a":1}]']),
    "id": st.sampled_from(["", "c1", "c2", "c1#2"]),
    "tool_call_id": st.sampled_from(["", "c1", "c2", "c3"]),
}
TRAJECTORIES = records(Trajectory, SPECIAL)


def table() -> dict[str, str]:
    """The fate of each field, by the row that names it most closely: itself, or what it is in, as `usage.*`."""
    rows: dict[str, str] = dict(ROW.findall(DOCS.read_text("utf-8").partition("## Imported again")[0]))
    found: dict[str, str] = {}
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


def without(value: Any, path: list[str]) -> Any:
    """Drop a field, so that reading gives it its default."""
    if value is None:
        return None
    name, rest = path[0], path[1:]
    if name.endswith("[]"):
        name = name.removesuffix("[]")
        return {**value, name: [without(one, rest) for one in value[name]]}
    if not rest:
        return {key: one for key, one in value.items() if key != name}
    return {**value, name: without(value[name], rest)}


@settings(max_examples=150, deadline=None)
@given(TRAJECTORIES)
def test_there_and_back_loses_what_the_table_says(trajectory: Trajectory):
    document = AtifTrajectory.model_validate_json(json.dumps(to_atif(trajectory).to_dict(), allow_nan=False))
    expected = trajectory.to_dict()
    for path, fate in TABLE.items():
        if fate == "lost":
            expected = without(expected, path.split("."))
    assert from_atif(document) == Trajectory.model_validate(expected)


DOCUMENT: dict[str, Any] = {
    "schema_version": "ATIF-v1.8", "agent": {"name": "a", "version": "1"},
    "steps": [
        {"step_id": 1, "source": "user", "message": "m"},
        {"step_id": 2, "source": "agent", "message": "",
         "tool_calls": [{"tool_call_id": "c", "function_name": "f", "arguments": {}}],
         "observation": {"results": [{"source_call_id": "c", "content": "x"}]}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(stranger=1), "stranger"),
        (lambda d: d["steps"].append(dict(d["steps"][1], step_id=3)), "two tool calls have the id 'c'"),
        (lambda d: d["steps"].append(dict(d["steps"][0], step_id=4)), "counts from 1"),
        (lambda d: d.update(final_metrics={"total_steps": 3}), "total_steps is 3"),
        (lambda d: d["steps"][0].update(metrics={}), "is for steps of the agent"),
        (lambda d: d["steps"][1].update(llm_call_count=0, metrics={}), "without a model call"),
        (lambda d: d["steps"][1]["observation"]["results"][0].update(source_call_id="z"), "makes no call 'z'"),
        (lambda d: d["steps"][1]["observation"]["results"][0].update(
            subagent_trajectory_ref=[{"trajectory_id": "other"}]), "not in this document"),
        (lambda d: d.update(subagent_trajectories=[dict(d)]), "a trajectory_id of its own"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused(change, said: str):
    document = json.loads(json.dumps(DOCUMENT))
    AtifTrajectory.model_validate(document)
    change(document)
    with pytest.raises(ValidationError, match=said):
        AtifTrajectory.model_validate(document)


def test_what_others_wrote_is_told():
    with pytest.raises(ValueError, match="not written by synth-bench"):
        from_atif(AtifTrajectory.model_validate(DOCUMENT))
