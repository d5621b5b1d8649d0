"""Wrong solutions of a package: whole files, or a patch against the reference solution that stands for them. Pure."""

from collections.abc import Mapping

from synthbench.contracts.records import FieldError
from synthbench.tasks.archive import Files, PackedFile
from synthbench.tasks.errors import problem
from synthbench.tasks.patches import PatchRefused, apply_patch

WORKSPACE = "environment/workspace/"
SOLUTION = "solution/"
_CHANGED = "files/"
_DELETED = "deleted.txt"
_PATCH = "solution.patch"

Changes = Mapping[str, bytes | None]
"""Path in the workspace -> new content, None where it is to be deleted."""


def changes_in(files: Files, folder: str) -> Changes:
    """The changes that a folder (`solution/`, `wrong/<name>/`) has: `files/…`, and the paths in `deleted.txt`."""
    prefix = folder + _CHANGED
    changes: dict[str, bytes | None] = {
        name.removeprefix(prefix): file.data for name, file in files.items() if name.startswith(prefix)
    }
    listing = files.get(folder + _DELETED)
    return changes if listing is None else changes | dict.fromkeys(listing.data.decode().split())


def names_in(files: Files) -> list[str]:
    """Names of the wrong solutions."""
    return sorted({name.split("/")[1] for name in files if name.startswith("wrong/") and name.count("/") >= 2})


def expand_patches(files: dict[str, PackedFile]) -> list[FieldError]:
    """Put in the place of each `wrong/<name>/solution.patch` the files that it stands for.

    The patch is one of the workspace as the reference solution leaves it. A package has one digest, however its wrong
    solutions are written.

    Returns:
        Patches that do not fit the solution.
    """
    problems: list[FieldError] = []
    for name in [f"wrong/{name}/{_PATCH}" for name in names_in(files)]:
        if name in files:
            try:
                _expand(files, name)
            except (PatchRefused, UnicodeDecodeError) as error:
                problems.append(problem(name, str(error)))
    return problems


def _expand(files: dict[str, PackedFile], patch: str) -> None:
    folder = patch.removesuffix(_PATCH)
    workspace = {name.removeprefix(WORKSPACE): file.data for name, file in files.items() if name.startswith(WORKSPACE)}
    solved: dict[str, bytes | None] = {**workspace, **changes_in(files, SOLUTION)}
    wrong = apply_patch(
        files.pop(patch).data.decode(), {path: data for path, data in solved.items() if data is not None}
    )
    for path, data in wrong.items():
        if workspace.get(path) != data:
            like = files.get(SOLUTION + _CHANGED + path) or files.get(WORKSPACE + path)
            files[folder + _CHANGED + path] = PackedFile(data, like is not None and like.executable)
    if deleted := sorted(workspace.keys() - wrong.keys()):
        files[folder + _DELETED] = PackedFile("".join(f"{path}\n" for path in deleted).encode())
