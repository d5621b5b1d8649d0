"""proto/ and the pydantic models are one contract: every event crosses from one to the other and back."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from google.protobuf import json_format
from pydantic import BaseModel

from synthbench.contracts import events
from synthbench.contracts.model import Record
from synthbench.contracts.registry import EVENTS

PROTO = Path(__file__).resolve().parents[2] / "proto"
BODIES: dict[str, type[Record]] = {spec.name: spec.body for spec in EVENTS} | {"dead": events.DeadLetter}
SAMPLES = sorted((PROTO / "golden").glob("*.json"))


def body_of(sample: Path) -> type[Record]:
    return BODIES[sample.name.rsplit(".", 2)[0]]


def test_every_event_has_a_full_and_a_minimal_golden_sample():
    assert {path.name for path in SAMPLES} >= {f"{n}.{kind}.json" for n in BODIES for kind in ("full", "minimal")}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("print_defaults", [True, False])
def test_an_event_survives_the_way_through_proto(sample, print_defaults, message_class):
    body = body_of(sample)
    original = body.model_validate_json(sample.read_text())
    message = json_format.Parse(original.to_json().decode(), message_class(body.__name__)())
    wire = type(message).FromString(message.SerializeToString())
    printed = json_format.MessageToJson(
        wire, preserving_proto_field_name=True, always_print_fields_with_no_presence=print_defaults
    )
    assert body.model_validate_json(printed) == original


@pytest.mark.parametrize("sample", [s for s in SAMPLES if ".full." in s.name], ids=lambda path: path.stem)
def test_a_full_sample_leaves_no_field_out(sample):
    written = json.loads(sample.read_text())
    missing = set(body_of(sample).model_fields) - set(written)
    assert missing <= {"campaign", "rollout_id"} if "cancel" in sample.name else not missing


def records_of(body: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield body
    for field in body.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from records_of(part)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_both_sides_name_the_same_fields(name, message_class):
    for record in set(records_of(BODIES[name])):
        proto_fields = {field.name for field in message_class(record.__name__).DESCRIPTOR.fields}
        assert proto_fields == set(record.model_fields), record.__name__


@pytest.mark.parametrize("name", sorted(BODIES))
def test_a_field_without_presence_defaults_to_zero(name, message_class):
    """Else proto3 JSON, which leaves zeros out, would be read as something else."""
    for record in set(records_of(BODIES[name])):
        for field in message_class(record.__name__).DESCRIPTOR.fields:
            model_field = record.model_fields[field.name]
            if field.has_presence or field.is_repeated or model_field.is_required():
                continue
            assert not model_field.get_default(), f"{record.__name__}.{field.name} must be `optional` in proto"


def test_nothing_breaks_the_baseline(buf):
    result = buf("breaking", "--against", "baseline")
    assert result.returncode == 0, result.stdout + result.stderr


MUTATIONS = {
    "a field's type changes": ("int64 input_tokens = 2;", "string input_tokens = 2;"),
    "a field is renumbered": ("int64 input_tokens = 2;", "int64 input_tokens = 22;"),
    "a field is renamed": ("int64 input_tokens = 2;", "int64 tokens_in = 2;"),
    "a field goes": ("  int64 input_tokens = 2;\n", ""),
    "a message is renamed": ("message Usage {", "message Consumption {"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_contract_is_noticed(mutation, tmp_path, buf):
    copy = tmp_path / "proto"
    shutil.copytree(PROTO, copy)
    target = copy / "synthbench/v1/records.proto"
    before, after = MUTATIONS[mutation]
    text = target.read_text()
    assert before in text
    target.write_text(text.replace(before, after))
    if "renamed" in mutation and "message" in mutation:
        for path in copy.glob("synthbench/v1/*.proto"):
            path.write_text(path.read_text().replace(" Usage usage", " Consumption usage"))
    assert buf("build", cwd=copy).returncode == 0, "the mutant must be valid proto, or it proves nothing"
    assert buf("breaking", "--against", "baseline", cwd=copy).returncode != 0


def test_a_badly_named_field_is_noticed(tmp_path, buf):
    copy = tmp_path / "proto"
    shutil.copytree(PROTO, copy)
    target = copy / "synthbench/v1/records.proto"
    target.write_text(target.read_text().replace("int64 input_tokens", "int64 inputTokens"))
    assert "inputTokens" in buf("lint", cwd=copy).stdout
