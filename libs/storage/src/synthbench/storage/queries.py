"""Named statements in .sql files: a line `-- name: some_query` begins each one."""

import re
from collections.abc import Mapping
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^--\s*name:\s*(\w+)\s*$", re.MULTILINE)


class Queries(Mapping[str, LiteralString]):
    """The statements of a .sql file, by name.

    Their text comes from our own distribution, never from input, hence `LiteralString`.
    """

    def __init__(self, statements: Mapping[str, str]) -> None:
        self._statements: dict[str, LiteralString] = {}
        for name, text in statements.items():
            self._statements[name] = cast("LiteralString", text)

    @classmethod
    def load(cls, package: str, file: str = "queries.sql") -> "Queries":
        """Read the statements of `package/file`.

        Raises:
            ValueError: a name stands twice, or text stands before the first name.
        """
        return cls(parse(resources.files(package).joinpath(file).read_text("utf-8"), f"{package}/{file}"))

    def __getitem__(self, name: str) -> LiteralString:
        return self._statements[name]

    def __iter__(self):  # noqa: ANN204 - Iterator[str], as the mapping says
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def parse(text: str, where: str) -> dict[str, str]:
    """Split a .sql file at its `-- name:` lines."""
    head, *parts = _NAME.split(text)
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{where}: SQL before the first `-- name:` line")
    names = parts[::2]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{where}: defined twice: {', '.join(sorted(doubled))}")
    return {name: body.strip().removesuffix(";") for name, body in zip(names, parts[1::2], strict=True)}
