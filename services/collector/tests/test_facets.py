"""Values of filters that nothing has are said with the nearest that there is."""

import pytest

from synthbench.collector.domain.facets import NAMED, text_values, warnings
from synthbench.collector.domain.filtering import Range, parse


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("outcome:sovled", ["nothing has outcome:sovled; did you mean outcome:solved?"]),
        ("-outcome:sovled", ["nothing has outcome:sovled; did you mean outcome:solved?"]),
        ("outcome:solved,unsolvd", ["nothing has outcome:unsolvd; did you mean outcome:unsolved?"]),
        ("verdict:accepted", ["nothing has verdict:accepted; did you mean verdict:accept?"]),
        ("curation:x", ["nothing has curation:x; there are admitted, capped, duplicate"]),
        ("outcome:solved verdict:none curation:adm*", []),
        ("model:gpt-5-mni", ["nothing has model:gpt-5-mni; did you mean model:gpt-5-mini?"]),
        ("campaign:mine", ["nothing has campaign:mine; there are none"]),
        ("task:anything words", []),
    ],
)
def test_an_unknown_value_is_told_with_the_nearest(text: str, told: list[str]):
    known = {**NAMED, "model": ["gpt-5-mini", "gpt-5"], "campaign": []}
    assert warnings(parse(text), known) == told


def test_only_plain_texts_are_values():
    assert text_values(parse('steps:5 counted:true model:a*,b task:"c d",none id:12')) == {
        "model": ["b"],
        "task": ["c d"],
    }


@pytest.mark.parametrize("text", ["0196f0", "0196F0", "0196f0000000-7", "0196f000-0000-7000-8000-00000000000"])
def test_the_beginning_of_an_id_is_a_range_of_ids(text: str):
    (found,) = parse(f"id:{text}").terms[0].values
    assert isinstance(found, Range)
    digits = text.replace("-", "").lower()
    assert str(found.low).replace("-", "") == digits.ljust(32, "0")
    assert str(found.high).replace("-", "") == digits.ljust(32, "f")
