"""What a model is shown of a long observation."""

from hypothesis import given
from hypothesis import strategies as st

from synthbench.executor.scaffolds.native.answers import head_and_tail


@given(st.text(max_size=300), st.integers(8, 100))
def test_what_is_shown_is_bounded_and_says_what_is_missing(content: str, limit: int):
    text = head_and_tail(content, limit)
    if len(content) <= limit:
        assert text is None
        return
    assert text is not None
    head, note, tail = text.partition("\n[… ")[0], "characters left out", text.rpartition("…]\n")[2]
    assert note in text
    assert content.startswith(head) or "\n[… " in content
    assert content.endswith(tail) or "…]\n" in content
    assert len(text) < limit + 80
