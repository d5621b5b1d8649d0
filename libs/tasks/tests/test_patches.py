"""Unified diffs applied to texts: exactly, or refused with the line that does not fit."""

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.tasks import digest_of, init_package, load_package
from synthbench.tasks.errors import TaskError
from synthbench.tasks.patches import PatchRefused, apply_patch

LINE = st.text(alphabet="ab+- \\@\r\x0c\u2028ü", max_size=3)
TEXT = st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(LINE, max_size=12), st.sampled_from(["", "\n"]))


def diff(before: str, after: str, context: int = 3) -> str:
    """Return the output of `diff -u` for a file `f` that is there before and after."""
    old, new = ([part + "\n" for part in text.split("\n")[:-1]] + [text.split("\n")[-1]] for text in (before, after))
    lines = difflib.unified_diff(list(filter(None, old)), list(filter(None, new)), "a/f", "b/f", n=context)
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


@given(TEXT, TEXT, st.integers(0, 3))
def test_a_diff_of_two_texts_makes_the_second_of_the_first(before: str, after: str, context: int):
    patched = apply_patch(diff(before, after, context), {"f": before.encode(), "other": b"\xff"})
    assert patched == {"f": after.encode(), "other": b"\xff"}


def test_files_are_added_and_deleted():
    patch = "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n"
    assert apply_patch(patch, {"old": b"y\n"}) == {"new": b"x\n"}


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ("--- a/f\n+++ b/f\n@@ -2 +2 @@\n-one\n+x\n", "f: line 2 is not 'one'"),
        ("--- a/f\n+++ b/f\n@@ -9 +9 @@\n-one\n+x\n", "f: line 9 is not 'one'"),
        ("--- a/g\n+++ b/g\n@@ -1 +1 @@\n-one\n+x\n", "there is no file g"),
        ("--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-one\n", "line 5 is none of a hunk"),
        ("--- a/f\n+++ b/f\nwhatever\n", "line 3 is no hunk"),
        ("--- a/f\n", "line 2 is not"),
        ("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n", "not all of its lines"),
        ("--- a/f\n+++ b/f\n@@ -2 +2 @@\n-two\n+x\n@@ -1 +1 @@\n-one\n+x\n", "hunks overlap at line 1"),
        ("--- a/f\n+++ b/f\n@@ -2 +2 @@\n-two\n\\ No newline at end of file\n+x\n", "line 2 is not 'two'"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: str, problem: str):
    with pytest.raises(PatchRefused, match=problem):
        apply_patch(patch, {"f": b"one\ntwo\n"})


def test_a_package_has_one_digest_however_its_wrong_solutions_are_written(tmp_path):
    init_package(tmp_path, "greeting")
    whole = load_package(tmp_path)
    for name, changes in whole.wrong_solutions().items():
        folder = tmp_path / "wrong" / name
        (folder / "files" / "greeting.py").unlink()
        (folder / "files").rmdir()
        solution = (tmp_path / "solution" / "files" / "greeting.py").read_text()
        changed = changes["greeting.py"]
        assert changed is not None
        text = diff(solution, changed.decode()).replace("a/f", "a/greeting.py")
        (folder / "solution.patch").write_text(text.replace("b/f", "b/greeting.py"))
    patched = load_package(tmp_path)
    assert patched.wrong_solutions() == whole.wrong_solutions()
    assert digest_of(patched) == digest_of(whole)


def test_a_patch_that_deletes_a_file_of_the_workspace_names_it_as_deleted(tmp_path):
    init_package(tmp_path, "greeting")
    text = "".join(f"-{line}\n" for line in (tmp_path / "solution/files/greeting.py").read_text().splitlines())
    patch = f"--- a/greeting.py\n+++ /dev/null\n@@ -1,{text.count(chr(10))} +0,0 @@\n{text}"
    (tmp_path / "wrong" / "gone").mkdir()
    (tmp_path / "wrong" / "gone" / "solution.patch").write_text(patch)
    assert load_package(tmp_path).wrong_solutions()["gone"] == {"greeting.py": None}


def test_a_patch_that_does_not_fit_the_solution_is_named(tmp_path):
    init_package(tmp_path, "greeting")
    (tmp_path / "wrong" / "one-name" / "solution.patch").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    with pytest.raises(TaskError, match=r"wrong/one-name/solution.patch: there is no file x"):
        load_package(tmp_path)
