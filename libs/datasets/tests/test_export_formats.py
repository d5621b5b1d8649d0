"""Export formats are entry points: those of this package, and those that others declare."""

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints, entry_points

import pytest

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats import export
from synthbench.datasets.formats.foreign import Source, read


def shout(trajectory: Trajectory) -> dict[str, str]:
    return {"task": trajectory.rollout.task.name.upper()}


@pytest.fixture
def trajectory() -> Trajectory:
    document = [{"role": "user", "content": "Mend it."}, {"role": "assistant", "content": "Done."}]
    return read(document, Source("a.json", sha256_digest(b"a"), resolved=True))[0]


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two more formats, one of which cannot be loaded."""
    more = [
        EntryPoint("shout", f"{__name__}:shout", export.GROUP),
        EntryPoint("broken", "no_such_module_of_a_format:make", export.GROUP),
    ]
    installed = list(entry_points(group=export.GROUP))
    monkeypatch.setattr(EntryPoint, "load", lambda entry: shout if entry.name == "shout" else LOAD(entry))
    monkeypatch.setattr(export, "entry_points", lambda **wanted: EntryPoints([*installed, *more]).select(**wanted))
    export.load_format.cache_clear()
    yield
    export.load_format.cache_clear()


LOAD = EntryPoint.load


def test_the_record_is_named_first_and_then_the_others():
    assert export.format_names() == ["json", "atif", "messages"]


def test_a_declared_format_is_used_by_its_name(declared: None, trajectory: Trajectory):
    assert export.format_names() == ["json", "atif", "broken", "messages", "shout"]
    assert json.loads(export.export_text(trajectory, "shout")) == {"task": "IMPORTED/A.JSON#0"}


def test_a_format_whose_module_is_missing_is_refused_in_one_line(declared: None, trajectory: Trajectory):
    with pytest.raises(export.FormatUnavailable, match=r"^format broken .* cannot be loaded: ModuleNotFoundError: .*$"):
        export.export_text(trajectory, "broken")


def test_an_unknown_format_is_refused_with_the_names_of_those_there_are(trajectory: Trajectory):
    with pytest.raises(export.FormatUnavailable, match="there is no format 'xml'; there are json, atif, messages"):
        export.export_text(trajectory, "xml")
