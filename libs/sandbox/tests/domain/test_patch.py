"""A patch is one that git applies, and takes the old text to the new one."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthbench.sandbox.domain import patch
from synthbench.sandbox.domain.patch import Side, file_patch

LINES = st.lists(st.sampled_from(["a\n", "b\n", "@@ -1 +1 @@\n", "\n"]), max_size=14)
TEXTS = st.tuples(LINES, st.sampled_from(["", "end"])).map(lambda parts: ("".join(parts[0]) + parts[1]).encode())


def applied(old: bytes, new: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f")
        path.write_bytes(old)
        text = file_patch("f", Side("100644", old), Side("100644", new))
        subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=text.encode(), cwd=folder, check=True)
        return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_git_applies_it(head: bytes, old: bytes, new: bytes, tail: bytes):
    before, after = head + old + tail, head + new + tail
    if before != after:
        assert applied(before, after) == after


def test_texts_too_long_to_search_become_one_hunk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patch, "_PAIRS", 1)
    before = "".join(f"{n}\n" for n in range(50)).encode()
    after = before.replace(b"\n20\n", b"\nx\n").replace(b"\n30\n", b"\ny\nz\n")
    text = file_patch("f", Side("100644", before), Side("100644", after))
    assert text.count("\n@@ ") == 1
    assert "\n@@ -18,17 +18,18 @@\n" in text
    assert applied(before, after) == after
