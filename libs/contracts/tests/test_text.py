"""Foreign text and numbers: every record takes any of them, and nothing of the text is lost."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import strategies as st
from pydantic import ValidationError

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT, fuzz
from synthbench.contracts.ids import canonical_json
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST, LARGEST_REAL, Count, Integer, Moment, Real, SmallCount
from synthbench.contracts.text import (
    LINE_CHARACTERS,
    NAME_CHARACTERS,
    JsonText,
    Line,
    Name,
    Text,
    json_text,
    line,
    name,
    original,
    valid_text,
)


class Foreign(Record):
    """One field of each type."""

    text: Text = ""
    json_text: JsonText = "null"
    line: Line = ""
    name: Name = ""
    named: dict[Name, Text] = {}
    count: Count = 0
    small: SmallCount = 0
    integer: Integer = 0
    real: Real = 0.0


def _no_stand_in(text: str) -> bool:
    return not any(0x10D800 <= ord(one) <= 0x10DFFF for one in text)


@fuzz(300, text=HOSTILE_TEXT.filter(_no_stand_in))
def test_text_is_valid_unicode_and_its_original_is_given_back(text: str):
    record = Foreign(text=text)
    again = Foreign.model_validate_json(record.to_json())
    assert again == record
    assert original(again.text) == text
    assert valid_text(record.text) == record.text


@fuzz(300, value=HOSTILE_JSON)
def test_json_kept_as_text_means_the_same(value: Any):
    raw = json.dumps(value, ensure_ascii=False)
    kept = Foreign.model_validate_json(Foreign(json_text=raw).to_json()).json_text
    assert kept.encode()
    assert repr(json.loads(kept)) == repr(json.loads(json.dumps(value)))
    assert json_text(value) == kept


@fuzz(300, text=HOSTILE_TEXT)
def test_lines_and_names_are_short_and_stay_as_they_are_when_read_again(text: str):
    assert len(line(text)) <= LINE_CHARACTERS
    assert line(line(text)) == line(text)
    shown = Foreign(name=text).name
    assert len(shown) <= NAME_CHARACTERS
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in shown)
    assert Foreign(name=shown).name == shown == name(text)


def test_long_names_that_differ_at_their_end_stay_different():
    assert name("x" * 10_000 + "a") != name("x" * 10_000 + "b")


def test_a_shortened_line_says_how_much_is_left_out():
    assert "characters are left out here" in line("x" * 9000)


@fuzz(300, number=HOSTILE_NUMBER)
def test_numbers_of_a_record_are_bounded_and_finite(number: float):
    whole = isinstance(number, int) or not math.isfinite(number)
    record = Foreign.model_validate({"real": number} | (dict.fromkeys(_WHOLE, number) if whole else {}))
    again = Foreign.model_validate_json(record.to_json())
    assert again == record
    assert 0 <= record.count <= LARGEST
    assert 0 <= record.small < 2**31
    assert abs(record.integer) <= LARGEST
    assert math.isfinite(record.real)
    assert abs(record.real) <= LARGEST_REAL


@pytest.mark.parametrize(
    "wrong",
    [{"text": 1}, {"name": None}, {"count": "many"}, {"count": 1.5}, {"real": []}, {"real": "x"}, {"integer": {}}],
    ids=str,
)
def test_another_type_is_an_error_of_its_field(wrong: dict[str, Any]):
    with pytest.raises(ValidationError) as caught:
        Foreign.model_validate(wrong)
    assert [error["loc"] for error in caught.value.errors()] == [tuple(wrong)]


_WHOLE = ("count", "small", "integer")


class Dated(Record):
    """A record with a time."""

    at: Moment


_ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@fuzz(200, moment=st.datetimes(timezones=st.none() | _ZONES))
def test_times_can_be_turned_into_any_zone(moment: datetime):
    kept = Dated.model_validate_json(Dated(at=moment).to_json()).at
    for zone in (UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))):
        assert kept.astimezone(zone) == kept


@fuzz(200, value=HOSTILE_JSON)
def test_digests_can_be_taken_over_any_json(value: Any):
    assert canonical_json(value)


def test_a_copy_with_lone_surrogates_can_be_encoded():
    copy = Foreign().model_copy(update={"text": "a\ud800", "named": {"k\udc80": "v\udfff"}})
    kept = Foreign.model_validate_json(copy.to_json())
    assert (original(kept.text), {original(k): original(v) for k, v in kept.named.items()}) == (copy.text, copy.named)
