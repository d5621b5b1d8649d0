"""Masking, fingerprints and decisions."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.contracts.events import CurationStatus, Verdict
from synthbench.diversity.domain.canonical import masked, shingles
from synthbench.diversity.domain.decision import EarlierTrajectory, comparison_class, decide
from synthbench.diversity.domain.fingerprint import BANDS, fingerprint, similarity

TEXT = "\n".join(f"bash run step {number} of the plan with option {number * 7}" for number in range(60))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat /home/a/x.py", "cat /tmp/b/c/x.py"),
        ("run 5f6322e3-7d5e-5ce9-a6dc-57b996c13f25", "run cb5c0432-d240-59a5-acf4-c0d3bbd28fe9"),
        ("at 2026-01-01T10:00:00Z", "at 2027-12-31 23:59:59"),
        ("digest " + "a1" * 32, "digest " + "b2" * 32),
        ("took 3.2 s", "took 17 s"),
    ],
)
def test_what_differs_by_chance_is_masked(one: str, other: str):
    assert masked(one) == masked(other)


def test_what_matters_is_not_masked():
    assert masked("edit x.py line 12") != masked("edit y.py line 12")


@given(st.text(max_size=300))
def test_masking_twice_is_masking_once(text: str):
    assert masked(masked(text)) == masked(text)


@given(st.text(max_size=300))
def test_every_text_has_a_shingle_and_a_fingerprint_of_its_own(text: str):
    assert shingles(text)
    made = fingerprint(text)
    assert made == fingerprint(text)
    assert len(made.bands) == BANDS
    assert similarity(made.signature, made.signature) == 1.0


def test_similar_texts_are_similar_and_share_a_band():
    changed = TEXT.replace("step 3 of", "step three of")
    one, two, far = fingerprint(TEXT), fingerprint(changed), fingerprint("something else entirely " * 30)
    assert similarity(one.signature, two.signature) > 0.8
    assert set(one.bands) & set(two.bands)
    assert similarity(one.signature, far.signature) < 0.2


def test_decisions():
    own, other = fingerprint(TEXT), fingerprint("nothing in common with it at all, really nothing")
    twin, stranger = (
        EarlierTrajectory(uuid4(), own.exact, own.signature),
        EarlierTrajectory(uuid4(), other.exact, other.signature),
    )

    def decision(known: list[EarlierTrajectory], admitted: int = 0, cap: int | None = None):
        return decide(own, known, threshold=0.8, admitted_of_task=admitted, max_per_task=cap)

    assert decision([]).status is CurationStatus.ADMITTED
    assert decision([]).similarity is None
    assert decision([stranger, twin]).duplicate_of == twin.trajectory_id
    assert decision([stranger, twin]).similarity == 1.0
    assert decision([stranger]).status is CurationStatus.ADMITTED
    assert decision([stranger], 2, 2).status is CurationStatus.CAPPED
    assert decision([twin], 2, 2).status is CurationStatus.DUPLICATE


def test_simulated_and_rejected_ones_are_compared_among_themselves():
    classes = {comparison_class(v, simulated=s) for v in Verdict for s in (True, False)}
    assert classes == {"simulated/kept", "simulated/rejected", "real/kept", "real/rejected"}
