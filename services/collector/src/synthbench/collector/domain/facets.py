"""Warns of values in a filter that no trajectory has, with the nearest value that exists. Pure."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from synthbench.collector.domain.filtering import FIELDS, Filter, like
from synthbench.contracts.events import CurationStatus, Verdict
from synthbench.contracts.records import Outcome

NAMED: Mapping[str, Collection[str]] = {
    "outcome": tuple(map(str, Outcome)),
    "verdict": tuple(map(str, Verdict)),
    "curation": tuple(map(str, CurationStatus)),
}
"""Fields whose values are fixed."""
_SHOWN = 8


def text_values(wanted: Filter) -> dict[str, list[str]]:
    """Return the texts without `*` in a filter, by field."""
    found: dict[str, list[str]] = {}
    for term in wanted.terms:
        if FIELDS[term.field][0] == "text":
            texts = [value for value in term.values if isinstance(value, str) and like(value) is None]
            found.setdefault(term.field, []).extend(texts)
    return {field: texts for field, texts in found.items() if texts}


def warnings(wanted: Filter, known: Mapping[str, Collection[str]]) -> list[str]:
    """Return a line for each value that its field does not have, with the value that may have been meant.

    Args:
        wanted: a filter.
        known: all values that exist, by field; values of other fields are not checked.
    """
    lines: list[str] = []
    for field, texts in text_values(wanted).items():
        if (values := known.get(field)) is not None:
            lines += [_warning(field, text, values) for text in texts if text not in values]
    return lines


def _warning(field: str, text: str, values: Collection[str]) -> str:
    nearest = get_close_matches(text, values, n=1, cutoff=0.5)
    if nearest:
        return f"nothing has {field}:{text[:60]}; did you mean {field}:{nearest[0]}?"
    shown = sorted(values)[:_SHOWN]
    more = ", …" if len(values) > _SHOWN else ""
    return f"nothing has {field}:{text[:60]}; " + (f"there are {', '.join(shown)}{more}" if shown else "there are none")
