"""Which artifacts a record names: all of them, wherever they stand."""

import json
import re
from pathlib import Path

import pytest

from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.registry import BY_NAME

_FOLDER = Path(__file__).parents[3] / "proto" / "golden"
GOLDEN = [path for name in sorted(BY_NAME) if (path := _FOLDER / f"{name}.full.json").exists()]
_URI = re.compile(r"artifact://[^\"]+")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_every_uri_of_every_event_is_found(path: Path):
    text = path.read_text()
    record = BY_NAME[path.name.removesuffix(".full.json")].body.model_validate(json.loads(text))
    # A trajectory's events name the artifacts that stand in them as references; texts of agents do not count.
    assert sorted({reference.uri for reference in artifacts_of(record)}) == sorted(set(_URI.findall(text)))


def test_the_samples_name_some():
    assert len(GOLDEN) > 12
    assert sum(len(_URI.findall(path.read_text())) for path in GOLDEN) > 10
